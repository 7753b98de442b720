package outage

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestEachReasonOfAnOutageIsReportedOnceAndThenThatItIsOver(t *testing.T) {
	var reporter Reporter
	if reporter.Ends() {
		t.Error("something is over that never began")
	}
	for range 2 { // episodes
		for i := range 3 {
			if reported := reporter.Begins(fmt.Errorf("port %d refused", 1000+i)); reported != (i == 0) {
				t.Errorf("try %d: reported %v", i, reported)
			}
		}
		if !reporter.Begins(errors.New("over the quota")) {
			t.Error("another reason is not reported")
		}
		if !reporter.Ends() || reporter.Ends() {
			t.Error("its end is not reported once")
		}
	}
}

func TestAnOutageThatComesAndGoesIsReportedNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reporter := Reporter{Quiet: time.Minute}
		full := errors.New("full")
		begun, over := 0, 0
		for range 120 {
			if reporter.Begins(full) {
				begun++
			}
			if reporter.Ends() {
				over++
			}
			time.Sleep(time.Second)
		}
		if begun != 2 || over != 2 {
			t.Errorf("reported %d times that it began and %d times that it was over, in two minutes", begun, over)
		}
		if !reporter.Begins(errors.New("full, and so is the other one")) {
			t.Error("another reason is not reported at once")
		}
	})
}

func TestAnOutageWithEverNewReasonsIsBounded(t *testing.T) {
	var reporter Reporter
	reported := 0
	for i := range 100 {
		if reporter.Begins(errors.New(string(rune('a'+i%26)) + string(rune('a'+i/26)))) {
			reported++
		}
	}
	if reported != mostReasons {
		t.Errorf("%d lines", reported)
	}
}
