package store_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"gleaner/internal/pipeline"
	"gleaner/internal/store"
)

// childVariable makes the test binary run write, as a separate process, in place of the tests.
const childVariable = "GLEANER_STORE_TEST_CHILD"

func TestMain(m *testing.M) {
	if uri := os.Getenv(childVariable); uri != "" {
		first, err := strconv.Atoi(os.Args[1])
		if err == nil {
			err = write(uri, first)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

const childBatches = 150

// write stores the results of all batches of the run "crash", beginning with batch first, and
// prints the index of each that is acknowledged.
func write(uri string, first int) error {
	ctx := context.Background()
	s, err := store.Open(ctx, uri)
	if err != nil {
		return err
	}
	for i := range childBatches {
		batch := (first + i) % childBatches
		if _, err := s.WriteResults(ctx, []pipeline.Results{crashResults(batch, first)}, time.Now()); err != nil {
			return err
		}
		fmt.Println(batch)
	}
	return s.Close()
}

func crashResults(batch, writer int) pipeline.Results {
	m := pipeline.Results{Run: "crash", Batch: batch, Round: 1, Consumer: "c", GPU: "g"}
	for i := range 4 {
		m.Results = append(m.Results, pipeline.Result{
			Index: i, Item: batch*4 + i, Text: fmt.Sprintf("by the writer that began at %d", writer), Finish: "stop", OutputTokens: writer + 1,
		})
	}
	return m
}
