package telemetry

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/zap"
)

// lines returns what was written, without the time.
func lines(s string) (all []string) {
	for line := range strings.Lines(s) {
		_, line, _ = strings.Cut(strings.TrimSpace(line), " ")
		all = append(all, line)
	}
	return all
}

func TestAMessageIsWrittenOnceAMinuteAndThenCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, out := logTo(t, "", "")
		away := func(batch string) {
			log.Warn("handing a batch back", zap.String("batch", batch), zap.Error(errors.New("500 from 127.0.0.1:11434")))
		}
		for range 10 {
			away("r/0000001")
			away("r/0000002")
			time.Sleep(time.Second)
		}
		log.Warn("handing a batch back", zap.String("batch", "r/0000003"), zap.Error(errors.New("it is gone")))
		log.With(zap.String("gpu", "b")).Warn("handing a batch back", zap.String("batch", "r/0000003"), zap.Error(errors.New("it is gone")))
		log.Info("handing a batch back")
		time.Sleep(time.Minute)
		synctest.Wait()
		away("r/0000004")
		away("r/0000005")
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		away("r/0000006")
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		want := []string{
			`WARN  handing a batch back batch=r/0000001 error="500 from 127.0.0.1:11434"`,
			`WARN  handing a batch back batch=r/0000003 error="it is gone"`,
			`WARN  handing a batch back gpu=b batch=r/0000003 error="it is gone"`,
			`INFO  handing a batch back`,
			`WARN  handing a batch back (repeated 19 times in a minute) batch=r/0000001 error="500 from 127.0.0.1:11434"`,
			`WARN  handing a batch back (repeated 2 times in a minute) batch=r/0000001 error="500 from 127.0.0.1:11434"`,
			`WARN  handing a batch back batch=r/0000006 error="500 from 127.0.0.1:11434"`,
		}
		if diff := cmp.Diff(want, lines(out.String())); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestWhatIsForFindingFaultsIsAlwaysWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, out := logTo(t, "", "debug")
		for range 3 {
			log.Debug("a batch")
		}
		if got := lines(out.String()); len(got) != 3 {
			t.Errorf("it wrote %q", got)
		}
	})
}

func TestRepeatsAreNotRememberedWithoutBound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, out := logTo(t, "", "")
		for i := range 2 * mostRepeats {
			log.Warn("one of many: " + strings.Repeat("x", i))
		}
		if got := len(lines(out.String())); got != 2*mostRepeats {
			t.Errorf("of %d messages %d were written", 2*mostRepeats, got)
		}
		time.Sleep(2 * time.Minute) // all timers end
		synctest.Wait()
		log.Warn("one of many: ")
		log.Warn("one of many: ")
		if got := len(lines(out.String())); got != 2*mostRepeats+1 {
			t.Errorf("of %d messages %d were written", 2*mostRepeats+2, got)
		}
		time.Sleep(3 * time.Minute)
	})
}
