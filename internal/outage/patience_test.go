package outage

import (
	"testing"
	"time"
)

func TestAPatienceIsSharedByAllCallsAndEnds(t *testing.T) {
	if !IsPatient(t.Context()) || Allowed(t.Context(), time.Minute) != time.Minute || IsOver(t.Context()) {
		t.Error("a context without one has one")
	}
	Waited(t.Context(), time.Hour)
	command := WithPatience(t.Context(), 10*time.Second)
	part := WithPatience(command, 3*time.Second)
	if IsPatient(part) || Allowed(part, time.Minute) != 3*time.Second || Allowed(part, time.Second) != time.Second {
		t.Error("a part does not have its own")
	}
	Waited(part, 2*time.Second)
	if IsOver(part) || Allowed(part, time.Minute) != time.Second || Allowed(command, time.Minute) != 8*time.Second {
		t.Error("what a part waits is not taken from both")
	}
	Waited(part, 5*time.Second)
	if !IsOver(part) || IsOver(command) || Allowed(part, time.Minute) != leastPatience || Allowed(command, time.Minute) != 3*time.Second {
		t.Error("the part is not over, or the command is")
	}
	Waited(command, 3*time.Second)
	if !IsOver(command) || Allowed(command, time.Minute) != leastPatience {
		t.Error("the command is not over")
	}
}
