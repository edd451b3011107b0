package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// failure is what a run that fails says at its end: for people as lines, for programs as one JSON object.
type failure struct {
	Message    string    `json:"message"`
	Problems   []problem `json:"problems,omitempty"` // if there are several
	Hint       string    `json:"hint,omitempty"`
	Chapter    string    `json:"chapter,omitempty"`    // of the manual: help CHAPTER prints it
	ExitStatus int       `json:"exitStatus,omitempty"` // unless a signal ends the process
	Signal     string    `json:"signal,omitempty"`

	lines []string // what people read before the message
}

// problem is one of several problems that an error lists.
type problem struct {
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

func newFailure(err error) failure {
	f := failure{Message: err.Error(), Hint: hint(err), Chapter: chapterOf(err), ExitStatus: exitStatus(err)}
	var signal signalError
	if errors.As(err, &signal) {
		f.ExitStatus, f.Signal = 0, signal.String()
		if s, ok := signal.Signal.(syscall.Signal); ok {
			f.Signal = unix.SignalName(s)
		}
	}
	if several := joined(err); len(several) > 1 {
		for _, e := range several {
			f.Problems = append(f.Problems, problem{e.Error(), hint(e)})
		}
	}
	var found *foundError
	if errors.As(err, &found) {
		f.lines = found.problems
		for _, text := range found.problems {
			f.Problems = append(f.Problems, problem{Message: text})
		}
	}
	return f
}

// exitStatus returns the exit status of an error.
func exitStatus(err error) int {
	switch {
	case as[*usageError](err):
		return 2
	case as[*foundError](err):
		return 3
	}
	return 1
}

// joined returns the errors that errors.Join made one of, or nil.
func joined(err error) (all []error) {
	for err != nil {
		list, ok := err.(interface{ Unwrap() []error })
		if !ok {
			err = errors.Unwrap(err)
			continue
		}
		var texts []string
		for _, e := range list.Unwrap() {
			texts = append(texts, e.Error())
			if parts := joined(e); len(parts) > 1 {
				all = append(all, parts...)
				continue
			}
			all = append(all, e)
		}
		if err.Error() != strings.Join(texts, "\n") { // an error with two causes, as of fmt.Errorf
			return nil
		}
		return all
	}
	return nil
}

// print writes a failure: with --json as the last line of standard error.
func (f failure) print(w io.Writer, asJSON bool) {
	if asJSON {
		printLine(w, map[string]failure{"error": f})
		return
	}
	for _, text := range append(f.lines, cutQuoted(f.Message)) {
		fmt.Fprintf(w, "export-profile: error: %s\n", text)
	}
	if f.Hint != "" {
		fmt.Fprintf(w, "export-profile: hint: %s\n", f.Hint)
	}
	if f.Chapter != "" {
		fmt.Fprintf(w, "export-profile: see: export-profile help %s\n", f.Chapter)
	}
}

// printLine writes a value as one line of JSON.
func printLine(w io.Writer, v any) {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v)
}
