package main

import (
	_ "embed" // the manual
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/export-profile/export-profile/cmd/export-profile/internal/manual"
	"github.com/export-profile/export-profile/ocilayout"
	"github.com/export-profile/export-profile/profile"
)

//go:embed README.md
var readme string

// manualParts lists the READMEs that are the manual, with the directory of each.
func manualParts() []struct{ dir, text string } {
	return []struct{ dir, text string }{{"cmd/export-profile", readme}, {"profile", profile.Readme}, {"ocilayout", ocilayout.Readme}}
}

// chapter is a part of the manual that `help NAME` prints: sections of the READMEs, each with what is below its heading.
// A section that another chapter names belongs only to that one.
type chapter struct {
	name  string
	heads string // DIRECTORY#ANCHOR of each section
	about string // commands whose help names the chapter
}

// contentsName is the chapter that lists the others.
const contentsName = "manual"

// chapters lists the chapters in the order in which they are read. No chapter has the name of a command.
func chapters() []chapter {
	return []chapter{
		{"first-steps", "cmd/export-profile#first-steps", "image doctor"},
		{"podman", "cmd/export-profile#an-image-for-podman-or-docker", "image"},
		{"ci", "cmd/export-profile#a-layout-in-ci cmd/export-profile#in-ci", "image"},
		{"root-filesystems", "cmd/export-profile#a-root-filesystem", "rootfs"},
		{"files", "cmd/export-profile#more-than-packages", "image rootfs"},
		{"no-packages", "cmd/export-profile#no-packages", "image rootfs"},
		{"own-image", "cmd/export-profile#the-programs-own-image", ""},
		{"openshift", "cmd/export-profile#openshift", "image"},
		{"health-checks", "cmd/export-profile#a-health-check", "image"},
		{"updates", "cmd/export-profile#the-next-release ocilayout#the-next-release", "image plan"},
		{"nix-inside", "cmd/export-profile#an-image-in-which-nix-runs", "image rootfs"},
		{"nix-builds", "cmd/export-profile#images-as-derivations-of-nix", ""},
		{"base-images", "cmd/export-profile#over-another-image", "image"},
		{"platforms", "cmd/export-profile#for-several-platforms", "index"},
		{"sboms", "cmd/export-profile#an-sbom", "image sbom"},
		{"attestations", "cmd/export-profile#an-attestation cmd/export-profile#who-vouches-for-an-image-and-is-it-complete", "image attest verify index"},
		{"contents", "cmd/export-profile#what-is-inside-and-why", "closure why ls"},
		{"before-building", "cmd/export-profile#before-building", "plan"},
		{"will-it-start", "cmd/export-profile#will-it-start", "check"},
		{"differences", "cmd/export-profile#what-changed", "diff"},
		{"page", "cmd/export-profile#a-page-to-look-at", "report"},
		{"damage", "cmd/export-profile#is-an-image-what-it-says-it-is", "verify"},
		{"trust", "cmd/export-profile#trust", "image rootfs closure verify"},
		{"sources", "profile#sources-and-formats", "image rootfs closure why plan"},
		{"store-directories", "profile#other-store-directories", ""},
		{"guix", "profile#guix", "image rootfs"},
		{"guix-signatures", "profile#guixs-signatures", ""},
		{"streams", "profile#export-streams", ""},
		{"binary-caches", "profile#binary-caches", ""},
		{"tars", "profile#copied-stores-and-tars", ""},
		{"layers", "ocilayout#layers", "image plan"},
		{"compression", "ocilayout#compression", "image"},
		{"chunks", "ocilayout#chunks", "image diff"},
		{"local-cache", "ocilayout#the-cache", "cache"},
		{"shared-cache", "cmd/export-profile#one-cache-for-many-runners cmd/export-profile#what-no-runner-uses-any-more ocilayout#a-shared-cache", "image cache"},
		{"registries", "cmd/export-profile#into-a-registry ocilayout#registries", "image index"},
		{"layouts", "ocilayout#layouts-and-archives", "image"},
		{"script", "cmd/export-profile#what-is-different-from-the-script", ""},
		{"guix-pack", "cmd/export-profile#what-is-different-from-guix-pack", ""},
		{"messages", "cmd/export-profile#messages", ""},
		{"commands", "cmd/export-profile#commands", ""},
		{"flags", "cmd/export-profile#flags", ""},
		{"environment", "cmd/export-profile#exit-status-environment-and-files", ""},
	}
}

// chaptersAbout returns the names of the chapters that the help of a command names.
func chaptersAbout(command string) (names []string) {
	for _, c := range chapters() {
		if slices.Contains(strings.Fields(c.about), command) {
			names = append(names, c.name)
		}
	}
	return names
}

func chapterNames() (names []string) {
	for _, c := range chapters() {
		names = append(names, c.name)
	}
	return names
}

// chapterSection is a section of the manual and the chapter that has it, or "".
type chapterSection struct {
	manual.Section
	dir, chapter string
}

// manualSections returns all sections of the manual.
var manualSections = sync.OnceValue(func() (all []chapterSection) {
	chapterOf := make(map[string]string)
	for _, c := range chapters() {
		for _, head := range strings.Fields(c.heads) {
			chapterOf[head] = c.name
		}
	}
	for _, part := range manualParts() {
		var above [8]string // the chapter of the last heading of each level
		for _, s := range manual.Parse(part.text) {
			name, ok := chapterOf[part.dir+"#"+s.Anchor]
			if !ok && s.Level > 1 {
				name = above[s.Level-1]
			}
			above[s.Level] = name
			all = append(all, chapterSection{s, part.dir, name})
		}
	}
	return all
})

// sections returns the sections of a chapter, in its order.
func (c chapter) sections() (all []chapterSection) {
	for _, head := range strings.Fields(c.heads) {
		dir, anchor, _ := strings.Cut(head, "#")
		of := manualSections()
		i := slices.IndexFunc(of, func(s chapterSection) bool { return s.dir == dir && s.Anchor == anchor })
		for j := i; i >= 0 && j < len(of) && of[j].dir == dir && (j == i || of[j].Level > of[i].Level); j++ {
			if of[j].chapter == c.name {
				all = append(all, of[j])
			}
		}
	}
	return all
}

// text returns a chapter in lines of a width.
func (c chapter) text(width int) string {
	var texts []string
	for _, s := range c.sections() {
		texts = append(texts, s.Text(width, func(target string) string { return linkText(s.dir, c.name, target) }))
	}
	return strings.Join(texts, "\n")
}

// repositoryURL is where files are that are not in the manual.
const repositoryURL = "https://github.com/export-profile/export-profile/blob/main/"

// linkText says where a link in a README of a directory leads: to a chapter, a file or another server.
func linkText(dir, from, target string) string {
	if strings.Contains(target, "://") {
		return target
	}
	file, anchor, _ := strings.Cut(target, "#")
	name := path.Join(dir, file)
	if file == "" {
		name = path.Join(dir, "README.md")
	}
	for _, s := range manualSections() {
		if s.dir+"/README.md" == name && (s.Anchor == anchor || anchor == "" && s.chapter != "") {
			if s.chapter == from || s.chapter == "" {
				return ""
			}
			return "`export-profile help " + s.chapter + "`"
		}
	}
	return repositoryURL + name
}

// contentsText lists the chapters with the headings in them.
func contentsText() string {
	var b strings.Builder
	b.WriteString("`export-profile help CHAPTER` prints one of these chapters.\n\n")
	for _, c := range chapters() {
		var titles []string
		for _, head := range strings.Fields(c.heads) {
			for _, s := range c.sections() {
				if s.dir+"#"+s.Anchor == head && !slices.Contains(titles, s.Plain()) {
					titles = append(titles, s.Plain())
				}
			}
		}
		fmt.Fprintf(&b, "  %-18s %s\n", c.name, strings.Join(titles, "; "))
	}
	return b.String()
}

const (
	proseWidth    = 80 // of chapters, unless a terminal has another width
	maxProseWidth = 100
)

// textWidth returns the width for text: that of the terminal, within limits.
func textWidth(w io.Writer) int {
	width, _ := terminalWidth(w)
	if width <= 0 {
		return proseWidth
	}
	return min(max(width, 40), maxProseWidth)
}

// otherWords maps words that people look for to chapters.
func otherWords() map[string]string {
	return map[string]string{
		"dockerfile": "script", "docker": "podman", "signatures": "trust", "keys": "trust", "security": "trust", "previous": "updates",
		"users": "files", "user": "files", "owners": "files", "config": "files", "json": "messages", "errors": "messages", "output": "messages", "proxy": "environment",
		"references": "tars", "nar": "binary-caches", "narinfo": "binary-caches", "database": "sources", "archives": "layouts", "oci": "layouts",
		"zstd": "compression", "gzip": "compression", "login": "registries", "push": "registries", "registry": "registries", "tls": "registries", "prune": "local-cache",
		"nix": "sources", "flakes": "nix-builds", "derivations": "nix-builds", "dockertools": "nix-builds", "nix2container": "nix-builds", "multi-arch": "platforms", "cosign": "attestations", "spdx": "sboms", "cyclonedx": "sboms", "exit": "environment",
		"static": "no-packages", "usage": "commands", "options": "flags", "chapters": contentsName, "topics": contentsName,
	}
}

// nearChapters returns the chapters that a word probably means.
func nearChapters(word string) (near []string) {
	others := otherWords()
	known := append(chapterNames(), slices.Sorted(maps.Keys(others))...)
	for _, name := range nearFlags(strings.ToLower(word), known) {
		if other, ok := others[name]; ok {
			name = other
		}
		if !slices.Contains(near, name) {
			near = append(near, name)
		}
	}
	return near
}
