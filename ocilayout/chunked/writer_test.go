package chunked

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
)

// TestAppendEntry compares the text of entries with what encoding/json makes of them.
func TestAppendEntry(t *testing.T) {
	filled := Entry{Xattrs: map[string]string{"user.b": "AA==", "user.a": "<"}}
	v := reflect.ValueOf(&filled).Elem()
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.String:
			f.SetString("a\"\\\n<>&é" + strings.Repeat("x", i))
		case reflect.Int, reflect.Int64:
			f.SetInt(int64(i) - 5)
		}
	}
	for _, e := range []Entry{{}, {Type: TypeDir, Name: "d/", Mode: 0o555}, filled} {
		if e.Type != "" && e.Type != TypeDir {
			e.Type = TypeFile
		}
		want, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(appendEntry(nil, &e)); got != string(want) {
			t.Errorf("appendEntry = %s; want %s", got, want)
		}
	}
}

// TestWithoutTables checks which layers have no tables.
func TestWithoutTables(t *testing.T) {
	for _, test := range []struct {
		name, link string
		want       bool
	}{
		{"file", "target", true},
		{"\xff", "target", false},
		{"file", "\xff", false},
	} {
		w := NewWriter(NewEncoders(1), nil)
		b := tarOf(t, tar.Header{Typeflag: tar.TypeSymlink, Name: test.name, Linkname: test.link})
		for len(b) > 0 {
			n, _, event, err := w.Scanner.Next(b)
			if err == nil && event == Begun {
				err = w.Add(w.Scanner.Entry(), nil, 0, [32]byte{})
			}
			if err != nil {
				t.Fatal(err)
			}
			b = b[n:]
		}
		var tail bytes.Buffer
		l, err := w.Finish(1000, &tail)
		if err != nil || (l != Location{}) != test.want || (tail.Len() > 0) != test.want {
			t.Errorf("%q to %q: a tail of %d bytes, %+v, %v; want tables: %t", test.name, test.link, tail.Len(), l, err, test.want)
		}
		w.Close()
	}
}
