package startup

import (
	"cmp"
	"slices"
)

// Kinds of problems.
const (
	Program      = "program"      // of PATH, that does not start
	Entrypoint   = "entrypoint"   // or Cmd, that does not start
	User         = "user"         // that is not known
	WorkingDir   = "workdir"      // that is none
	Certificates = "certificates" // that cannot be read, or are expired
	ProfileLink  = "profile-link" // that leads nowhere
	Library      = "library"      // that nothing in PATH loads, and that cannot be loaded
	Other        = "other"        // a program or script outside of PATH that does not start
	Preload      = "preload"      // a library of LD_PRELOAD that is not there
	Link         = "link"         // that leads nowhere
	Reference    = "reference"    // a store object that is named and not there
	Conflict     = "conflict"     // packages that have different files of one name
)

// Problem is something that is wrong in an image.
type Problem struct {
	Path   string `json:"path"` // absolute, or the word that was to be run
	Kind   string `json:"kind"`
	Reason string `json:"reason"`
}

func (p Problem) String() string { return p.Path + ": " + p.Reason }

// Report is what was found.
type Report struct {
	Programs int       // that PATH has
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
