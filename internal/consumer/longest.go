package consumer

import (
	"fmt"

	"go.uber.org/zap"

	"gleaner/internal/pipeline"
)

// compareContext says what of the run's longest prompt the lane's context cannot hold, once for
// each length of the context.
func (l *lane) compareContext() {
	longest, context := l.run.Info().LongestPrompt, l.contextLength()
	l.mu.Lock()
	isNew := longest > 0 && context != l.contextSaid
	if isNew {
		l.contextSaid = context
	}
	l.mu.Unlock()
	surely, probably := longest/maxTokenSize, longest/minTokenSize
	if !isNew || context == 0 || context >= probably {
		return
	}
	verdict := "probably cannot hold"
	if context < surely {
		verdict = "cannot hold"
	}
	l.log.Warn("this GPU's context "+verdict+" the run's longest prompt: it works on what fits",
		zap.Int("context_tokens", context), zap.Int("prompt_bytes", longest),
		zap.Int("surely_needs_tokens", surely), zap.Int("probably_needs_tokens", probably), zap.String("setting", l.contextSetting(probably)))
}

// contextSetting returns how to get a context that holds a prompt of this many tokens and its
// answer.
func (l *lane) contextSetting(prompt int) string {
	const step = 1024
	enough := (prompt + pipeline.DefaultNumPredict + step - 1) / step * step
	if l.supervisor != nil {
		return fmt.Sprintf("--context %d", enough)
	}
	return fmt.Sprintf("OLLAMA_CONTEXT_LENGTH=%d on the server", enough)
}
