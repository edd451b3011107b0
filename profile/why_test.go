package profile

import (
	"strings"
	"testing"
)

func TestWhy(t *testing.T) {
	const text = "a: b c d\nb: e\nc: e\nd: f\ne: g\nf: g h\ng:\nh:"
	for _, tt := range []struct {
		from, to byte
		want     string
		all      string
	}{
		{'a', 'g', "abeg", "a=bcd b=e c=e d=f e=g f=g g="},
		{'a', 'e', "abe", "a=bc b=e c=e e="},
		{'a', 'h', "adfh", "a=d d=f f=h h="},
		{'a', 'a', "a", "a="},
		{'b', 'h', "", ""},
		{'a', 'z', "", ""},
		{'z', 'a', "", ""},
	} {
		g := graphOf(t, text)
		if got := letters(g.Why(letter(tt.from), letter(tt.to))); got != tt.want {
			t.Errorf("Why(%c, %c) = %q; want %q", tt.from, tt.to, got, tt.want)
		}
		ways := g.WhyAll(letter(tt.from), letter(tt.to))
		var all []string
		for _, info := range g.Infos {
			if on, ok := ways[info.Path]; ok {
				all = append(all, info.Path.Name()+"="+letters(on))
			}
		}
		if got := strings.Join(all, " "); got != tt.all {
			t.Errorf("WhyAll(%c, %c) = %q; want %q", tt.from, tt.to, got, tt.all)
		}
	}
}
