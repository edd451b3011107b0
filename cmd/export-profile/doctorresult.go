package main

import (
	"fmt"

	"github.com/export-profile/export-profile/profile"
)

// doctorResult is what doctor finds. Its fields have the order of the text.
type doctorResult struct {
	Version      string          `json:"version"`
	Platform     string          `json:"platform"`
	Container    bool            `json:"container,omitempty"` // the machine is a container
	Stores       []foundStore    `json:"stores"`
	Profile      *foundProfile   `json:"profile,omitempty"` // what image takes without --profile
	Results      []foundProfile  `json:"results"`           // links in the working directory
	Sources      []foundSource   `json:"sources"`           // in the working directory
	Cache        foundCache      `json:"cache"`
	Logins       []foundLogin    `json:"logins"`
	Certificates string          `json:"certificates,omitempty"` // the file with those of authorities
	Variables    []string        `json:"variables"`              // names of those that are set and change what image does
	Tools        []foundTool     `json:"tools"`
	Problems     []doctorProblem `json:"problems"`
	Of           string          `json:"of,omitempty"`         // what the commands make an image of
	Commands     []string        `json:"commands"`             // that make an image and run it
	Push         string          `json:"push,omitempty"`       // the command that pushes it to a registry with a login
	Dockerfile   []string        `json:"dockerfile,omitempty"` // in a container: the lines that do it in a Dockerfile
}

// foundStore is a store of this machine.
type foundStore struct {
	Dir     string `json:"directory"`
	Manager string `json:"manager"` // Nix or Guix
	Usable  bool   `json:"usable"`
	Paths   int    `json:"paths"` // in its database
}

// foundProfile is a link to a store path.
type foundProfile struct {
	Name        string       `json:"name"`           // of the link
	Path        profile.Path `json:"path,omitempty"` // "" if there is a problem with it
	Generation  int          `json:"generation,omitempty"`
	Generations int          `json:"generations,omitempty"` // that are kept
	Programs    int          `json:"programs"`              // in bin
	Image       string       `json:"image,omitempty"`       // that a build made, as commands take it

	program string // the one to run, or ""
}

// foundSource is a file or directory that --from reads.
type foundSource struct {
	Name string `json:"name"`
	Form string `json:"form"`

	file bool
}

// foundCache says what the cache of this user has.
type foundCache struct {
	Dir    string `json:"directory,omitempty"`
	Exists bool   `json:"exists"`
	Usable bool   `json:"usable"` // or will be, once it is made
	Layers int    `json:"layers"`
	Bytes  int64  `json:"bytes"`
	Spool  string `json:"temporaryDirectory"` // of large temporary files
	Free   int64  `json:"freeBytes"`          // there
}

// foundLogin says where a login for a registry is.
type foundLogin struct {
	Registry string `json:"registry"` // "" for all others
	File     string `json:"file"`
	Helper   string `json:"helper,omitempty"` // the program that has the login
}

// foundTool is a program in PATH.
type foundTool struct {
	Name    string   `json:"name"`
	Path    string   `json:"path"`
	Version string   `json:"version,omitempty"`
	Usable  bool     `json:"usable"`
	Notes   []string `json:"notes,omitempty"`
}

// doctorProblem is a problem and what to type next.
type doctorProblem struct {
	About   string `json:"about"` // a section of the text
	Problem string `json:"problem"`
	Hint    string `json:"hint,omitempty"`
}

// The sections of the text.
const (
	aboutStore    = "store"
	aboutPackages = "packages"
	aboutCache    = "cache"
	aboutRegistry = "registries"
	aboutTools    = "container tools"
)

// problem adds a problem.
func (r *doctorResult) problem(about, hint, format string, args ...any) {
	r.Problems = append(r.Problems, doctorProblem{about, cutQuoted(fmt.Sprintf(format, args...)), hint})
}

// tool returns a usable tool, or nil.
func (r *doctorResult) tool(name string) *foundTool {
	for i := range r.Tools {
		if t := &r.Tools[i]; t.Name == name && t.Usable {
			return t
		}
	}
	return nil
}
