package deploy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	corev1 "k8s.io/api/core/v1"

	"gleaner/internal/natsd/natsdtest"
	"gleaner/internal/pipeline"
	"gleaner/internal/stream"
)

// cluster starts the three servers of the manifests with their own configuration; only addresses
// and folders are others.
func cluster(t *testing.T) []*server.Server {
	t.Helper()
	path := beside(t, map[string]string{"nats.conf": get[*corev1.ConfigMap](t, manifests(t), "ConfigMap nats").Data["nats.conf"], "permissions.conf": text(t, "nats/permissions.conf")}, "nats.conf")
	ports := natsdtest.FreePorts(t, 3)
	nodes := make([]*server.Server, 3)
	for i := range nodes {
		t.Setenv("POD_NAME", fmt.Sprintf("nats-%d", i))
		nodes[i] = configured(t, path, func(o *server.Options) {
			if o.ServerName != fmt.Sprintf("nats-%d", i) || o.Cluster.Port != 6222 || !o.Cluster.NoAdvertise || len(o.Routes) != 3 {
				t.Errorf("the server is %s, its routes are %v", o.ServerName, o.Routes)
			}
			o.Cluster.Host, o.Cluster.Port, o.Routes = "127.0.0.1", ports[i], nil
			for _, port := range ports {
				o.Routes = append(o.Routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", port)})
			}
		})
	}
	until(t, "the servers have a leader", func() bool {
		return slices.ContainsFunc(nodes, func(s *server.Server) bool { return s.JetStreamIsLeader() })
	})
	return nodes
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick, limit := time.NewTicker(50*time.Millisecond), time.After(time.Minute)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("within a minute it was not so that %s", what)
		}
	}
}

// as connects with a role's user to all servers.
func as(t *testing.T, role string, nodes []*server.Server) *stream.Conn {
	t.Helper()
	var urls []string
	for _, node := range nodes {
		urls = append(urls, strings.Replace(node.ClientURL(), "://", "://"+role+":"+role+"-password@", 1))
	}
	conn, err := stream.Connect(t.Context(), stream.Config{URL: strings.Join(urls, ","), Name: role, Replicas: 3, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

// Three copies of each stream are on three servers, work goes on when one is gone, and the
// servers report the numbers that KEDA's scaler reads, in the form that it expects.
func TestTheClusterOfTheManifestsGoesOnWithoutOneServer(t *testing.T) {
	nodes := cluster(t)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	producer := as(t, "producer", nodes)
	check(producer.Ensure(ctx))
	run := pipeline.Run{Name: get[*scaledObject](t, manifests(t), "ScaledObject consumer").Spec.Triggers[0].Metadata["consumer"], UID: "uid", Spec: pipeline.Spec{Model: "mistral"}}
	check(producer.EnsureRun(ctx, run))
	publish := func(from, to int) {
		t.Helper()
		for batch := from; batch < to; batch++ {
			work := pipeline.Work{
				Run: run.Name, UID: run.UID, Batch: batch, Round: 1, Model: "mistral", Options: pipeline.Options{NumPredict: 10},
				Generations: []pipeline.Generation{{Item: batch, Messages: pipeline.User("What?")}},
			}
			err := producer.Publish(ctx, work)
			for ; err != nil && pipeline.ClassOf(err) == pipeline.Retryable && ctx.Err() == nil; err = producer.Publish(ctx, work) {
			}
			check(err)
		}
	}
	publish(0, 5)
	until(t, "KEDA reads five batches", func() bool { return lag(t, nodes, run.Name) == 5 })
	_, err := as(t, "consumer", nodes).Work(run.Name).Next(ctx)
	check(err)
	until(t, "a batch that is held counts as well", func() bool { return lag(t, nodes, run.Name) == 5 })

	nodes[1].Shutdown()
	nodes[1].WaitForShutdown()
	publish(5, 10)
	rest := []*server.Server{nodes[0], nodes[2]}
	until(t, "KEDA reads ten batches from the others", func() bool { return lag(t, rest, run.Name) == 10 })
}

// lag reads the queue's length as KEDA does: waiting and held, from the server that leads the
// durable. Servers do not advertise themselves, so it goes by their names, which are those of the
// pods. It is -1 while there is no leader.
func lag(t *testing.T, nodes []*server.Server, run string) int {
	t.Helper()
	for _, node := range nodes {
		var info struct {
			Name        string   `json:"server_name"`
			ConnectURLs []string `json:"connect_urls"`
		}
		ask(t, node, "/varz", &info)
		if len(info.ConnectURLs) > 0 {
			t.Errorf("the server advertises %v", info.ConnectURLs)
		}
		var said struct {
			Accounts []struct {
				Name    string
				Streams []struct {
					Name   string
					Config struct {
						Replicas int `json:"num_replicas"`
					}
					Consumers []struct {
						Name    string
						Pending int `json:"num_pending"`
						Held    int `json:"num_ack_pending"`
						Cluster struct{ Leader string }
					} `json:"consumer_detail"`
				} `json:"stream_detail"`
			} `json:"account_details"`
		}
		ask(t, node, "/jsz?acc=GLEANER&consumers=true&config=true", &said)
		for _, account := range said.Accounts {
			for _, s := range account.Streams {
				if s.Config.Replicas != 3 {
					t.Errorf("stream %s has %d copies", s.Name, s.Config.Replicas)
				}
				for _, c := range s.Consumers {
					if account.Name == "GLEANER" && s.Name == stream.WorkStream && c.Name == run && c.Cluster.Leader == info.Name {
						return c.Pending + c.Held
					}
				}
			}
		}
	}
	return -1
}

// ask reads what a server reports on its monitoring port.
func ask(t *testing.T, node *server.Server, path string, into any) {
	t.Helper()
	response, err := http.Get("http://" + node.MonitorAddr().String() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}
