package text

import "testing"

func TestTheNearestNameIsTheOneThatWasMeant(t *testing.T) {
	names := []string{"truncated", "bad-item", "num-predict", "input", "out"}
	for wrong, want := range map[string]string{
		"truncted": "truncated", "Truncated": "truncated", "trunc": "truncated", "bad": "bad-item", "ot": "out", "inptu": "input",
		"zzz": "", "": "", "x": "", "a-name-that-is-like-none-of-them": "",
	} {
		if got := Nearest(wrong, names); got != want {
			t.Errorf("nearest to %q is %q, want %q", wrong, got, want)
		}
	}
}

func TestADistanceCountsChanges(t *testing.T) {
	for _, c := range []struct {
		a, b  string
		limit int
		want  int
	}{
		{"train", "train", 3, 0}, {"train", "trian", 3, 1}, {"train", "tran", 3, 1}, {"train", "trains", 3, 1}, {"train", "brain", 3, 1},
		{"train", "test", 9, 4}, {"größe", "grosse", 9, 3}, {"a", "abcdef", 2, 3},
	} {
		if got := Distance(c.a, c.b, c.limit); got != c.want {
			t.Errorf("from %q to %q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
