package cli

import (
	"errors"
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

// A ColumnList is the value of a flag that chooses columns, which may begin with a hyphen.
type ColumnList string

// Decode is called by kong, which takes no such value otherwise. The error is for a missing value.
func (l *ColumnList) Decode(ctx *kong.DecodeContext) error {
	token := ctx.Scan.Pop()
	text := fmt.Sprint(token.Value)
	if token.IsEOL() || strings.HasPrefix(text, "--") {
		return errors.New("it takes a list of columns, such as a,b=new,-c")
	}
	*l = ColumnList(text)
	return nil
}
