package pipeline

import "context"

type tokensKey struct{}

// WithTokens returns a context for a request to a model: tokens is called with the number of tokens of the answer each
// time that some have come, from the goroutine that reads them. It has to be quick. So who waits for the answer knows
// how fast the model is before the answer is complete, through whatever stands between.
func WithTokens(ctx context.Context, tokens func(n int)) context.Context {
	return context.WithValue(ctx, tokensKey{}, tokens)
}

// Tokens returns the function that wants to know of tokens, or one that does nothing. A model need not call it.
func Tokens(ctx context.Context) func(n int) {
	if tokens, ok := ctx.Value(tokensKey{}).(func(n int)); ok {
		return tokens
	}
	return func(int) {}
}
