package startup

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Kinds of problems.
const (
	Program      = "program"      // a program of PATH does not start
	Entrypoint   = "entrypoint"   // the entrypoint or command does not start
	User         = "user"         // the user or group is unknown
	WorkingDir   = "workdir"      // the working directory is not a directory, or does not exist
	Certificates = "certificates" // certificates are unreadable or expired
	ProfileLink  = "profile-link" // a link of the profile or PATH leads nowhere
	Library      = "library"      // a library that nothing in PATH loads cannot be loaded
	Other        = "other"        // a program or script outside of PATH does not start
	Preload      = "preload"      // a library to preload cannot be loaded
	Link         = "link"         // another link leads nowhere
	Reference    = "reference"    // a file names a store object that is not in the image
	Conflict     = "conflict"     // packages have different files of one name
	Volume       = "volume"       // a volume does not exist
	Health       = "healthcheck"  // the health check does not start
	Zone         = "timezone"     // the time zone of TZ is not in the image
	Locale       = "locale"       // the image has no locales
	Driver       = "driver"       // a file needs the host's driver
	Unreadable   = "unreadable"   // the user cannot read a store object
)

// Problem is a fault of an image.
type Problem struct {
	Path   string `json:"path"` // absolute, or the word that names the program
	Kind   string `json:"kind"`
	Reason string `json:"reason"`
}

// String returns one line. What a terminal cannot show is escaped, since names in an image may have any bytes.
func (p Problem) String() string {
	var b strings.Builder
	text := p.Path + ": " + p.Reason
	for len(text) > 0 {
		r, n := utf8.DecodeRuneInString(text)
		if unicode.IsPrint(r) && (r != utf8.RuneError || n > 1) {
			b.WriteString(text[:n])
		} else {
			quoted := strconv.Quote(text[:n])
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		text = text[n:]
	}
	return b.String()
}

// Report is the result of a check.
type Report struct {
	Programs int       // number of programs in PATH
	Errors   []Problem // by path
	Warnings []Problem
}

func (r *Report) sort() {
	for _, problems := range []*[]Problem{&r.Errors, &r.Warnings} {
		slices.SortFunc(*problems, func(a, b Problem) int {
			return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Reason, b.Reason))
		})
		*problems = slices.Compact(*problems)
	}
}

func (c *checker) errorf(kind, path, reason string) {
	c.report.Errors = append(c.report.Errors, Problem{path, kind, reason})
}

func (c *checker) warn(kind, path, reason string) {
	c.report.Warnings = append(c.report.Warnings, Problem{path, kind, reason})
}
