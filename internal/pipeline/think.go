package pipeline

// Think says whether a model thinks before it answers, and how much.
type Think string

// What can be asked for. The empty text stands in runs of earlier versions, which had all thinking
// off.
const (
	ThinkAuto   Think = "auto" // nothing is said, so the model does as it does by itself
	ThinkOff    Think = "off"
	ThinkOn     Think = "on"
	ThinkLow    Think = "low"
	ThinkMedium Think = "medium"
	ThinkHigh   Think = "high"
)

// IsOff reports whether the model is told not to think.
func (t Think) IsOff() bool { return t == "" || t == ThinkOff }

// same reports whether two mean the same. In a run of an earlier version nothing was asked for, so
// it goes on where nothing is asked for now.
func (t Think) same(u Think) bool {
	return t == u || t.IsOff() && u.IsOff() || t == "" && u == ThinkAuto || t == ThinkAuto && u == ""
}

// IsAsked reports whether thinking is asked for.
func (t Think) IsAsked() bool { return !t.IsOff() && t != ThinkAuto }

// NumPredict returns how many tokens an answer may have where nothing is said of that.
func (t Think) NumPredict() int {
	if t.IsAsked() {
		return ThinkingNumPredict
	}
	return DefaultNumPredict
}

// Level returns how much thinking is asked for, or nothing if that is left to the model.
func (t Think) Level() string {
	if t == ThinkLow || t == ThinkMedium || t == ThinkHigh {
		return string(t)
	}
	return ""
}
