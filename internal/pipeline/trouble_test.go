package pipeline

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestEachReasonOfATroubleIsToldOnceAndThenThatItIsOver(t *testing.T) {
	var trouble Trouble
	if trouble.Ends() {
		t.Error("something is over that never began")
	}
	for range 2 { // episodes
		for i := range 3 {
			if told := trouble.Begins(fmt.Errorf("port %d refused", 1000+i)); told != (i == 0) {
				t.Errorf("try %d: told %v", i, told)
			}
		}
		if !trouble.Begins(errors.New("over the quota")) {
			t.Error("another reason is not told")
		}
		if !trouble.Ends() || trouble.Ends() {
			t.Error("its end is not told once")
		}
	}
}

func TestATroubleThatComesAndGoesIsToldNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		trouble := Trouble{Quiet: time.Minute}
		full := errors.New("full")
		begun, over := 0, 0
		for range 120 {
			if trouble.Begins(full) {
				begun++
			}
			if trouble.Ends() {
				over++
			}
			time.Sleep(time.Second)
		}
		if begun != 2 || over != 2 {
			t.Errorf("told %d times that it began and %d times that it was over, in two minutes", begun, over)
		}
		if !trouble.Begins(errors.New("full, and so is the other one")) {
			t.Error("another reason is not told at once")
		}
	})
}

func TestATroubleWithEverNewReasonsIsBounded(t *testing.T) {
	var trouble Trouble
	told := 0
	for i := range 100 {
		if trouble.Begins(errors.New(string(rune('a'+i%26)) + string(rune('a'+i/26)))) {
			told++
		}
	}
	if told != mostReasons {
		t.Errorf("%d lines", told)
	}
}
