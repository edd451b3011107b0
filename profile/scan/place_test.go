package scan

import (
	"strings"
	"testing"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/profile/storetest"
)

// TestPlace checks which store directory is recognised around a digest, wherever the input is cut.
func TestPlace(t *testing.T) {
	p := profile.Path("/nix/store/" + strings.Repeat("a", 32) + "-x")
	x := newIndex(t, []profile.Path{p})
	d := p.Digest()
	long := "/" + strings.Repeat("l", maxPlace) + "/store/"
	for _, test := range []struct{ data, foreign string }{
		{"", ""},
		{d, ""},
		{"/nix/store/" + d, ""},
		{"/gnu/store/" + d, "/gnu/store"},
		{"\x00/gnu/store/" + d + "-x\x00", "/gnu/store"},
		{"-L/gnu/store/" + d, "/gnu/store"},
		{"-L/nix/store/" + d, ""},
		{"file:///gnu/store/" + d, "/gnu/store"},
		{"PATH=/bin:/opt/nix/store/" + d, "/opt/nix/store"},
		{"/gnu/store/" + d + ":/nix/store/" + d, ""},
		{"/nix/store/" + d + ":/gnu/store/" + d, ""},
		{strings.Repeat("x ", 50) + "/nix/store/" + d + strings.Repeat(" x", 50), ""},
		{strings.Repeat("x ", 50) + "/gnu/store/" + d + strings.Repeat(" x", 50), "/gnu/store"},
		{"nix/store/" + d, ""},
		{"relative/store/" + d, ""},
		{"wordsbefore/gnu/store/" + d, ""},
		{"wordsbefore/gnu/store/" + d + strings.Repeat(" x", 100), ""},
		{"/tmp/build/" + d, ""},
		{long + d, ""},
		{"/gnu/store/" + strings.Repeat("b", 32), ""},
	} {
		for cut := range len(test.data) + 2 {
			f := x.Finder()
			if cut <= len(test.data) {
				_, _ = f.Write([]byte(test.data[:cut]))
				_, _ = f.Write([]byte(test.data[cut:]))
			} else {
				for i := range test.data {
					_, _ = f.Write([]byte(test.data[i : i+1]))
				}
			}
			err := f.place.check()
			if (err == nil) != (test.foreign == "") || err != nil && !strings.Contains(err.Error(), `it names "`+test.foreign+"/"+d+`-x", but the store directory is /nix/store`) {
				t.Errorf("%q, cut after %d: %v; want an error about %q", test.data, cut, err, test.foreign)
			}
		}
	}
}

// TestOtherStore checks the error for an object that names others below another store directory.
func TestOtherStore(t *testing.T) {
	s := storetest.New("guix")
	a := s.Add(t, "a", "", "f 0444 . text")
	b := s.Add(t, "b", "a", "d .", "f 0555 run #!/gnu/store/"+a.Base()+"/bin/sh")
	c := s.Add(t, "c", "a", "d .", "f 0555 run #!/nix/store/"+a.Base()+"/bin/sh", "f 0444 zlog /gnu/store/"+a.Base())
	store, err := Overlay(s, []profile.Path{a, b, c}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range map[profile.Path]string{
		a: "", c: "",
		b: `it names "/gnu/store/` + a.Base() + `", but the store directory is /nix/store`,
	} {
		_, err := store.Info(t.Context(), p)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("Info(%q): %v; want an error with %q", p, err, want)
		}
	}
}
