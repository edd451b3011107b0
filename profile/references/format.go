package references

import (
	"bufio"
	"encoding/json"
	"strings"

	"github.com/export-profile/export-profile/profile"
)

// FormatError reports a file that does not contain references.
type FormatError struct {
	Is string // what the file is instead, such as "a list of store paths"
}

func (e *FormatError) Error() string { return "it is " + e.Is }

const pathsAlone = "a list of store paths, without hashes and references"

// checkText returns an error for text that has no records but only paths, such as that of nix-store -qR or nix path-info -s.
// A record has a number in its third line at the earliest.
func checkText(b *bufio.Reader) error {
	const enough = 2 << 10 // for the longest three lines
	head, err := b.Peek(enough)
	lines := strings.Split(string(head), "\n")
	if last := len(lines) - 1; err == nil || lines[last] == "" { // otherwise Peek has reached the end
		lines = lines[:last]
	}
	paths := 0
	for i, line := range lines[:min(3, len(lines))] {
		fields := strings.Fields(line)
		if len(fields) == 0 || !isPath(fields[0]) {
			continue
		}
		if paths++; i == 2 || len(fields) > 1 {
			return &FormatError{pathsAlone}
		}
	}
	if err != nil && paths == len(lines) {
		return &FormatError{pathsAlone}
	}
	return nil
}

func isPath(s string) bool {
	_, err := profile.ParsePath(s)
	return err == nil
}

// checkJSON returns an error for what other commands of Nix write.
func checkJSON(top json.RawMessage) error {
	var paths []string
	if json.Unmarshal(top, &paths) == nil && len(paths) > 0 {
		return &FormatError{pathsAlone}
	}
	row := top
	var rows []json.RawMessage
	if json.Unmarshal(top, &rows) == nil && len(rows) > 0 {
		row = rows[0]
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(row, &object) != nil {
		return nil
	}
	switch {
	case object["elements"] != nil && object["version"] != nil:
		return &FormatError{"the manifest of a profile"}
	case object["drvPath"] != nil, object["derivations"] != nil:
		return &FormatError{"about derivations, as nix build --json or nix derivation show writes it"}
	}
	for name, raw := range object {
		var derivation struct{ Builder *string }
		if strings.HasSuffix(name, ".drv") && json.Unmarshal(raw, &derivation) == nil && derivation.Builder != nil {
			return &FormatError{"about derivations, as nix build --json or nix derivation show writes it"}
		}
	}
	return nil
}
