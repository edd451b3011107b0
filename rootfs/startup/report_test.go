package startup

import "testing"

// TestProblemString checks that nothing in an image changes what a terminal shows.
func TestProblemString(t *testing.T) {
	for _, test := range []struct {
		problem Problem
		want    string
	}{
		{Problem{Path: "/usr/bin/a b", Reason: `its interpreter "/nix/\u00e4" does not exist…`}, `/usr/bin/a b: its interpreter "/nix/\u00e4" does not exist…`},
		{Problem{Path: "/a\x1b[2J\nb", Reason: "leads nowhere: \x1b]0;\a"}, `/a\x1b[2J\nb: leads nowhere: \x1b]0;\a`},
		{Problem{Path: "/\xff\u202e\ufffd", Reason: "x"}, "/\\xff\\u202e\ufffd: x"},
	} {
		if got := test.problem.String(); got != test.want {
			t.Errorf("String of %+q = %q; want %q", test.problem, got, test.want)
		}
	}
}
