package parquet

// RewriteAdvice is the command that errors print.
func RewriteAdvice() string { return rewriteAdvice() }
