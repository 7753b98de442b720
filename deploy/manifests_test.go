package deploy_test

import (
	"path/filepath"
	"regexp"
	"testing"
)

// The types below are what a manifest here may say, by Kubernetes' API as far as it is used: any other field is an
// error. The API server's own checks cannot be had without a cluster.
type (
	labels map[string]string

	meta struct {
		Name      string
		Namespace string
		Labels    labels
	}

	selector struct {
		MatchLabels labels `yaml:"matchLabels"`
	}

	ref struct{ Name, Key string }

	env struct {
		Name, Value string
		ValueFrom   struct {
			SecretKeyRef ref `yaml:"secretKeyRef"`
			FieldRef     struct {
				FieldPath string `yaml:"fieldPath"`
			} `yaml:"fieldRef"`
		} `yaml:"valueFrom"`
	}

	probe struct {
		HTTPGet          struct{ Path, Port string } `yaml:"httpGet"`
		TCPSocket        struct{ Port string }       `yaml:"tcpSocket"`
		Exec             struct{ Command []string }
		PeriodSeconds    int `yaml:"periodSeconds"`
		TimeoutSeconds   int `yaml:"timeoutSeconds"`
		FailureThreshold int `yaml:"failureThreshold"`
	}

	security struct {
		RunAsNonRoot             bool                  `yaml:"runAsNonRoot"`
		RunAsUser                int                   `yaml:"runAsUser"`
		RunAsGroup               int                   `yaml:"runAsGroup"`
		FSGroup                  int                   `yaml:"fsGroup"`
		AllowPrivilegeEscalation *bool                 `yaml:"allowPrivilegeEscalation"`
		ReadOnlyRootFilesystem   bool                  `yaml:"readOnlyRootFilesystem"`
		SeccompProfile           struct{ Type string } `yaml:"seccompProfile"`
		Capabilities             struct{ Drop []string }
	}

	container struct {
		Name, Image   string
		Command, Args []string
		RestartPolicy string `yaml:"restartPolicy"`
		Env           []env
		Ports         []struct {
			Name          string
			ContainerPort int `yaml:"containerPort"`
		}
		StartupProbe   *probe `yaml:"startupProbe"`
		ReadinessProbe *probe `yaml:"readinessProbe"`
		LivenessProbe  *probe `yaml:"livenessProbe"`
		Lifecycle      struct {
			PreStop struct{ Exec struct{ Command []string } } `yaml:"preStop"`
		}
		Resources       struct{ Requests, Limits map[string]string }
		SecurityContext security `yaml:"securityContext"`
		VolumeMounts    []struct {
			Name      string
			MountPath string `yaml:"mountPath"`
			ReadOnly  bool   `yaml:"readOnly"`
		} `yaml:"volumeMounts"`
	}

	volume struct {
		Name      string
		ConfigMap ref `yaml:"configMap"`
		Projected struct {
			Sources []struct {
				ConfigMap ref `yaml:"configMap"`
			}
		}
		EmptyDir *struct {
			SizeLimit string `yaml:"sizeLimit"`
		} `yaml:"emptyDir"`
	}

	podSpec struct {
		AutomountServiceAccountToken  *bool    `yaml:"automountServiceAccountToken"`
		TerminationGracePeriodSeconds int      `yaml:"terminationGracePeriodSeconds"`
		RestartPolicy                 string   `yaml:"restartPolicy"`
		SecurityContext               security `yaml:"securityContext"`
		Tolerations                   []struct{ Key, Operator, Effect string }
		TopologySpreadConstraints     []struct {
			MaxSkew           int      `yaml:"maxSkew"`
			TopologyKey       string   `yaml:"topologyKey"`
			WhenUnsatisfiable string   `yaml:"whenUnsatisfiable"`
			LabelSelector     selector `yaml:"labelSelector"`
		} `yaml:"topologySpreadConstraints"`
		InitContainers []container `yaml:"initContainers"`
		Containers     []container
		Volumes        []volume
	}

	template struct {
		Metadata meta
		Spec     podSpec
	}

	port struct {
		Name string
		Port int
	}

	peer struct {
		PodSelector       *selector `yaml:"podSelector"`
		NamespaceSelector *selector `yaml:"namespaceSelector"`
	}

	// An object is one document of any kind that stands here.
	object struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string
		Metadata   meta
		Data       map[string]string // of a ConfigMap
		Namespace  string            // of a Kustomization
		Resources  []string          // of a Kustomization
		Images     []struct {        // of a Kustomization
			Name    string
			NewName string `yaml:"newName"`
			NewTag  string `yaml:"newTag"`
		}
		Spec struct {
			// Deployment, StatefulSet, Job
			Replicas            *int
			Selector            map[string]any // its form differs between kinds
			ServiceName         string         `yaml:"serviceName"`
			PodManagementPolicy string         `yaml:"podManagementPolicy"`
			Template            template
			VolumeClaims        []struct {
				Metadata meta
				Spec     struct {
					AccessModes []string `yaml:"accessModes"`
					Resources   struct{ Requests map[string]string }
				}
			} `yaml:"volumeClaimTemplates"`
			BackoffLimit     int `yaml:"backoffLimit"`
			PodFailurePolicy struct {
				Rules []struct {
					Action      string
					OnExitCodes struct {
						ContainerName string `yaml:"containerName"`
						Operator      string
						Values        []int
					} `yaml:"onExitCodes"`
					OnPodConditions []struct{ Type string } `yaml:"onPodConditions"`
				}
			} `yaml:"podFailurePolicy"`

			// Service
			ClusterIP                string `yaml:"clusterIP"`
			PublishNotReadyAddresses bool   `yaml:"publishNotReadyAddresses"`
			Ports                    []port

			// PodDisruptionBudget
			MaxUnavailable *int `yaml:"maxUnavailable"`
			MinAvailable   *int `yaml:"minAvailable"`

			// NetworkPolicy
			PodSelector selector `yaml:"podSelector"`
			PolicyTypes []string `yaml:"policyTypes"`
			Ingress     []struct {
				From  []peer
				Ports []port
			}

			// ScaledObject
			ScaleTargetRef  ref `yaml:"scaleTargetRef"`
			MinReplicaCount int `yaml:"minReplicaCount"`
			MaxReplicaCount int `yaml:"maxReplicaCount"`
			PollingInterval int `yaml:"pollingInterval"`
			CooldownPeriod  int `yaml:"cooldownPeriod"`
			Triggers        []struct {
				Type     string
				Metadata map[string]string
			}
		}
	}
)

// objects returns all that the manifests hold, by kind and name.
func objects(t *testing.T) map[string]object {
	t.Helper()
	files, err := filepath.Glob("kubernetes/*.yaml")
	runs, runErr := filepath.Glob("kubernetes/run/*.yaml")
	if err != nil || runErr != nil || len(files) == 0 || len(runs) == 0 {
		t.Fatalf("manifests: %v %v, %v %v", files, err, runs, runErr)
	}
	versions := map[string]string{
		"ConfigMap": "v1", "Service": "v1", "Namespace": "v1", "Deployment": "apps/v1", "StatefulSet": "apps/v1", "Job": "batch/v1",
		"PodDisruptionBudget": "policy/v1", "NetworkPolicy": "networking.k8s.io/v1", "ScaledObject": "keda.sh/v1alpha1", "Kustomization": "kustomize.config.k8s.io/v1beta1",
	}
	all := map[string]object{}
	for _, file := range append(files, runs...) {
		for _, document := range documents(t, file) {
			var o object
			parse(t, file, document, &o)
			if versions[o.Kind] == "" || o.APIVersion != versions[o.Kind] {
				t.Errorf("%s: %s is of %s", file, o.Kind, o.APIVersion)
			}
			if o.Kind != "Kustomization" && !regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`).MatchString(o.Metadata.Name) {
				t.Errorf("%s: %s has the name %q", file, o.Kind, o.Metadata.Name)
			}
			key := o.Kind + " " + o.Metadata.Name
			if o.Kind == "Kustomization" {
				key = o.Kind + " " + filepath.ToSlash(file)
			}
			if _, twice := all[key]; twice {
				t.Errorf("%s: %s stands there twice", file, key)
			}
			all[key] = o
		}
	}
	return all
}

// pods returns the pods' templates by what makes them.
func pods(all map[string]object) map[string]template {
	found := map[string]template{}
	for name, o := range all {
		if len(o.Spec.Template.Spec.Containers) > 0 {
			found[name] = o.Spec.Template
		}
	}
	return found
}

func (p podSpec) all() []container {
	return append(append([]container{}, p.InitContainers...), p.Containers...)
}
