package storetest

import "testing"

func TestADatabaseIsPutIntoAURI(t *testing.T) {
	for uri, want := range map[string]string{
		"mongodb://host":                          "mongodb://host/db",
		"mongodb://host:1,other:2/":               "mongodb://host:1,other:2/db",
		"mongodb+srv://u:p%40@host/admin?w=1&x=a": "mongodb+srv://u:p%40@host/db?w=1&x=a",
	} {
		if got := withDatabase(uri, "db"); got != want {
			t.Errorf("%s: got %s, want %s", uri, got, want)
		}
	}
}
