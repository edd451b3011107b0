package attestation

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var objectCases = []struct {
	text string
	want map[string]json.RawMessage
	err  string
}{
	{`{}`, map[string]json.RawMessage{}, ""},
	{` { "a" : [1, {"b": 2}] , "c":null,"d":"e"}` + "\n", map[string]json.RawMessage{"a": json.RawMessage(`[1, {"b": 2}]`), "d": json.RawMessage(`"e"`)}, ""},
	{`{"\u0061":1}`, map[string]json.RawMessage{"a": json.RawMessage("1")}, ""},
	{`{"a":1,"a":1}`, nil, `key "a" occurs twice`},
	{`{"a":null,"a":1}`, nil, `key "a" occurs twice`},
	{`{"a":1,"A":1}`, nil, `key "A" occurs twice`},
	{`{"\u0061":1,"a":1}`, nil, `key "a" occurs twice`},
	{`{"sig":1,"ſig":1}`, nil, `key "ſig" occurs twice`},
	{`{"keyid":1,"` + "\u212a" + `eyid":1}`, nil, "key \"\u212aeyid\" occurs twice"},
	{``, nil, "not a JSON object"},
	{`null`, nil, "not a JSON object"},
	{`[]`, nil, "not a JSON object"},
	{`"a"`, nil, "not a JSON object"},
	{`{1:2}`, nil, "not a JSON object"},
	{`{"a"}`, nil, `value of key "a": not JSON`},
	{`{"a":}`, nil, `value of key "a": not JSON`},
	{`{"a":1`, nil, "the JSON object does not end"},
	{`{"a":1 "b":2}`, nil, "not a JSON object"},
	{`{"a":1,}`, nil, "not a JSON object"},
	{`{"a":1}}`, nil, "there is text after the JSON object"},
	{`{"a":1}{"a":1}`, nil, "there is text after the JSON object"},
	{manyKeys(maxMembers + 1), nil, "the JSON object has more than 256 keys"},
	{`{"a":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + `}`, nil, `value of key "a": not JSON`},
}

// manyKeys returns a JSON object with n keys.
func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"%d":1`, i)
	}
	return "{" + b.String()[1:] + "}"
}

func TestObject(t *testing.T) {
	for _, test := range objectCases {
		got, err := object([]byte(test.text))
		message := ""
		if err != nil {
			message = err.Error()
		}
		name := test.text[:min(len(test.text), 40)]
		if message != test.err {
			t.Errorf("object(%q) = %v; want %q", name, err, test.err)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("object(%q) (-want +got):\n%s", name, diff)
		}
	}
}

func FuzzObject(f *testing.F) {
	for _, test := range objectCases {
		f.Add([]byte(test.text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		values, err := object(text)
		if (values == nil) == (err == nil) {
			t.Fatalf("object(%q) = %v, %v", text, values, err)
		}
		if err == nil && !json.Valid(text) {
			t.Errorf("object(%q) = %v, but that is not JSON", text, values)
		}
	})
}
