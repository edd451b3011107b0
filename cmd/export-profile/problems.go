package main

import (
	"fmt"
	"path"
	"regexp"
	"strings"
	"sync"

	"github.com/export-profile/export-profile/ocilayout/verify"
	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/rootfs/startup"
)

// This file shortens long output: the problems that verify and check find, and notes.
// One line stands for many of one kind.

// problemGroup stands for problems that a person reads as one.
type problemGroup struct {
	text string // of the first one
	more int    // how many others there are
}

func (g problemGroup) String() string {
	if g.more == 0 {
		return g.text
	}
	return fmt.Sprintf("%s (and %d more like it)", g.text, g.more)
}

// groupProblems groups problems with equal keys, in the order of the first of each.
func groupProblems[P any](all []P, key, text func(P) string) (groups []problemGroup) {
	at := make(map[string]int)
	for _, p := range all {
		k := key(p)
		if i, ok := at[k]; ok {
			groups[i].more++
			continue
		}
		at[k] = len(groups)
		groups = append(groups, problemGroup{text: text(p)})
	}
	return groups
}

// fewNotes is how many notes of one kind are printed before one stands for all.
const fewNotes = 5

// notes prints notes about the image's files. Of many notes of one kind it prints the first, and with --debug all.
func (s *speaker) notes(all []string) {
	kinds := make(map[string]int)
	for _, n := range all {
		kinds[kindOfProblem(n)]++
	}
	for _, n := range all {
		switch k := kindOfProblem(n); {
		case s.debug || kinds[k] > 0 && kinds[k] <= fewNotes:
			s.notef("%s", n)
		case kinds[k] > 0:
			s.notef("%s (and %d more like it; --debug lists them)", n, kinds[k]-1)
			kinds[k] = 0
		}
	}
}

// groupVerified groups what verify finds in layers: by image, layer and what is wrong.
// Problems of documents differ in more than the path.
func groupVerified(all []verify.Problem, severalImages bool) []problemGroup {
	return groupProblems(all, func(p verify.Problem) string {
		if p.Layer == 0 && p.Path == "" {
			return p.Image.String() + p.String()
		}
		return fmt.Sprintf("%s\x00%d\x00%s\x00%s", p.Image, p.Layer, p.Blob, kindOfProblem(p.What))
	}, func(p verify.Problem) string {
		if severalImages && p.Image != "" {
			return fmt.Sprintf("image %.19s: %v", p.Image, p)
		}
		return p.String()
	})
}

// varying matches what differs between problems of one kind: quoted names, hashes and numbers.
var varying = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`"(\\.|[^"\\])*"…?|\b[0-9a-f]{12,}\b|[0-9]+`)
})

// kindOfProblem returns a problem's text without the names in it.
func kindOfProblem(what string) string { return varying().ReplaceAllString(what, "*") }

// groupErrors groups errors of check: the same reason in one package or directory.
func groupErrors(all []startup.Problem) []problemGroup {
	return groupProblems(all, func(p startup.Problem) string {
		return p.Kind + "\x00" + packageOf(p.Path) + "\x00" + p.Reason
	}, startup.Problem.String)
}

// groupWarnings groups warnings of check: one kind in one package or directory.
func groupWarnings(all []startup.Problem) []problemGroup {
	return groupProblems(all, func(p startup.Problem) string { return p.Kind + "\x00" + packageOf(p.Path) }, startup.Problem.String)
}

// packageOf returns the store path that contains a path, or else the path's directory.
func packageOf(name string) string {
	for element := range strings.SplitSeq(name, "/") {
		if profile.CheckBase(element) == nil {
			return element
		}
	}
	return path.Dir(name)
}
