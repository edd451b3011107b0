package attestation

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

// chooserKeys returns two secret keys, and a chooser that trusts the first.
func chooserKeys(t testing.TB) (trusted, other *SecretKey, c *Chooser) {
	t.Helper()
	trusted, other = parseSecret(t, []byte(nixSecret("a-1", 1))), parseSecret(t, []byte(nixSecret("a-1", 2)))
	c, err := NewChooser(Keys{trusted.Public()})
	if err != nil {
		t.Fatal(err)
	}
	return trusted, other, c
}

func signPayload(t testing.TB, k *SecretKey, payload []byte) []byte {
	t.Helper()
	b, err := k.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestChooserWithoutKeys(t *testing.T) {
	if c, err := NewChooser(nil); err == nil {
		t.Errorf("NewChooser without keys = %v; want an error", c)
	}
}

func TestChooser(t *testing.T) {
	trusted, other, c := chooserKeys(t)
	all := statements(t)
	text := payload(t, all[0])
	lost := bytes.Replace(text, []byte(`"subject":[{`), []byte(`"subject":[{},{`), 1)
	lines := [][]byte{
		signPayload(t, trusted, text),
		nil,
		signPayload(t, trusted, text), // once more
		signPayload(t, other, text),
		signPayload(t, trusted, []byte(`{"predicateType":"https://spdx.dev/Document"}`)),
		[]byte("not JSON"),
		bytes.Replace(signPayload(t, trusted, text), []byte(`"sig":"`), []byte(`"sig":"AAAA`), 1),
		signPayload(t, trusted, bytes.Replace(text, []byte(`"narSize":`), []byte(`"narSize": `), 1)),
		signPayload(t, trusted, lost),
		signPayload(t, trusted, payload(t, all[2])),
	}
	if err := c.AddLines("file", bytes.NewReader(append(bytes.Join(lines, []byte("\n")), '\n'))); err != nil {
		t.Fatal(err)
	}
	if n := len(c.Statements()); n != 2 || len(c.Signed) != 2 || c.Signed[0].From != "file, line 1" || c.Signed[1].Kind != OfIndex {
		t.Errorf("%d statements are chosen: %+v; want two", n, c.Signed)
	}
	var from []string
	for _, s := range c.Skipped {
		from = append(from, s.From)
	}
	if want := []string{"file, line 4", "file, line 5", "file, line 6", "file, line 7"}; !slices.Equal(from, want) {
		t.Errorf("skipped: %q; want %q", from, want)
	}
	for line, want := range map[int]bool{1: true, 4: false, 6: false, 7: false, 9: true} {
		if key, ok := c.Signer(fmt.Sprintf("file, line %d", line)); ok != want || ok && key.ID() != c.Signed[0].Key.ID() {
			t.Errorf("Signer of line %d = %q, %t; want %t", line, key.ID(), ok, want)
		}
	}
	if a := c.Absence(nil); !a.Forged || !a.Others || a.Empty() {
		t.Errorf("Absence = %+v; want it forged and by others", a)
	}
	signed, broken := c.About(all[0].Subject)
	if len(signed) != 1 || len(broken) != 2 {
		t.Errorf("About = %d statements and %d broken ones; want 1 and 2", len(signed), len(broken))
	}
	// Of one broken statement it is unknown what it is about.
	if signed, broken := c.About(all[2].Subject); len(signed) != 1 || len(broken) != 1 || broken[0].From != "file, line 9" {
		t.Errorf("About = %v and %+v", signed, broken)
	}
	if got, want := c.Absence([]string{all[2].Subject}).String(), "no statement about it is signed by a given key; found: "+
		`1 that names a given key, but its signature does not verify (file, line 7: key "`; !strings.HasPrefix(got, want) {
		t.Errorf("Absence = %s\nwant %s…", got, want)
	}
	for _, part := range []string{
		"; 1 by a given key about another image, " + all[0].Subject,
		`; 1 by key "a-1:`,
		"; 1 by a given key, but not about store paths (read statement: predicate type",
		"; 1 that cannot be read (file, line 6: read bundle: ",
	} {
		if got := c.Absence([]string{all[2].Subject}).String(); !strings.Contains(got, part) {
			t.Errorf("Absence = %s\nwant a part %s", got, part)
		}
	}
}

func TestAbsence(t *testing.T) {
	_, other, c := chooserKeys(t)
	if got, want := c.Absence(nil), "no statement about it is signed by a given key: no attestation was found"; got.String() != want || !got.Empty() || got.Forged || got.Others {
		t.Errorf("Absence = %+v; want %q", got, want)
	}
	for i := range 9 {
		if err := c.Add(fmt.Sprint(i), signPayload(t, other, []byte(`{}`))); err != nil {
			t.Fatal(err)
		}
		if err := c.Skip(fmt.Sprint(i), errors.New("lost")); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := c.Absence(nil).String(), "9 that cannot be read (0: lost, 1: lost, 2: lost and 6 more)"; !strings.Contains(got, want) ||
		!strings.Contains(got, `9 by other keys: "`) {
		t.Errorf("Absence = %q; want a part %q", got, want)
	}
}

// TestChooserBounded checks that a flood of bundles ends the choice with an error instead of a choice among some.
func TestChooserBounded(t *testing.T) {
	_, _, c := chooserKeys(t)
	if err := c.AddLines("file", strings.NewReader(strings.Repeat("x\n", maxSkipped+1))); !errors.Is(err, ErrTooMany) {
		t.Errorf("AddLines of too many lines: %v; want %v", err, ErrTooMany)
	}
	_, _, c = chooserKeys(t)
	if err := c.AddLines("file", &failing{}); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("AddLines of a file that cannot be read: %v; want %v", err, io.ErrUnexpectedEOF)
	}
}
