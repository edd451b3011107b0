package references

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/export-profile/export-profile/profile"
	"github.com/export-profile/export-profile/rootfs"
)

// record is a store object in the JSON of any version of Nix.
type record struct {
	Path    string `json:"path"`
	Valid   *bool  `json:"valid"`
	NarHash string `json:"narHash"`
	NarSize int64  `json:"narSize"`
	Deriver string `json:"deriver"`

	// Every version writes the references, even if there are none.
	// Without them, part of the closure would silently be missing, so they are required.
	References json.RawMessage `json:"references"`

	Signatures []json.RawMessage `json:"signatures"`
	CA         json.RawMessage   `json:"ca"`
}

func parseJSON(r io.Reader) ([]*profile.Info, error) {
	var top json.RawMessage
	d := json.NewDecoder(r)
	if err := d.Decode(&top); err != nil {
		return nil, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("data after the JSON")
	}
	if err := checkJSON(top); err != nil {
		return nil, err
	}
	if top[0] == '[' {
		return parseArray(top)
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(top, &object); err != nil {
		return nil, err
	}
	if info, ok := object["info"]; ok && object["version"] != nil {
		dir, err := storeDirOf(object)
		if err != nil {
			return nil, err
		}
		object = nil
		if err := json.Unmarshal(info, &object); err != nil {
			return nil, fmt.Errorf("info: %w", err)
		}
		return parseKeyed(object, dir)
	}
	if arrays := graphs(object); len(arrays) > 0 {
		var all []*profile.Info
		for _, a := range arrays {
			infos, err := parseArray(a)
			if err != nil {
				return nil, err
			}
			all = append(all, infos...)
		}
		return all, nil
	}
	return parseKeyed(object, profile.StoreDir{})
}

// storeDirOf returns the store directory that nix path-info --json names since Nix 2.33, and /nix/store for earlier versions.
func storeDirOf(object map[string]json.RawMessage) (profile.StoreDir, error) {
	var name string
	if raw, ok := object["storeDir"]; ok {
		if err := json.Unmarshal(raw, &name); err != nil {
			return profile.StoreDir{}, fmt.Errorf("storeDir: %w", err)
		}
	}
	if name == "" {
		return profile.StoreDir{}, nil
	}
	return rootfs.ParseStoreDir(name)
}

// graphs returns the arrays of records in an .attrs.json, below any attribute.
func graphs(attrs map[string]json.RawMessage) []json.RawMessage {
	var found []json.RawMessage
	var names []string
	for name := range attrs {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		var rows []struct {
			Path       *string          `json:"path"`
			References *json.RawMessage `json:"references"`
		}
		if !strings.HasPrefix(name, "/") && json.Unmarshal(attrs[name], &rows) == nil &&
			len(rows) > 0 && rows[0].Path != nil && rows[0].References != nil {
			found = append(found, attrs[name])
		}
	}
	return found
}

func parseArray(raw json.RawMessage) ([]*profile.Info, error) {
	var rows []record
	if err := json.Unmarshal(raw, &rows); err != nil {
		return nil, err
	}
	var infos []*profile.Info
	for i, row := range rows {
		if row.Path == "" {
			return nil, fmt.Errorf("entry %d has no path", i)
		}
		if row.Valid != nil && !*row.Valid {
			continue // nix path-info was asked for it, but its store lacks it
		}
		info, err := row.info(row.Path, profile.StoreDir{})
		if err != nil {
			return nil, err
		}
		infos = append(infos, info)
	}
	return infos, nil
}

func parseKeyed(object map[string]json.RawMessage, dir profile.StoreDir) ([]*profile.Info, error) {
	var infos []*profile.Info
	for key, raw := range object {
		if string(raw) == "null" {
			continue // nix path-info was asked for it, but its store lacks it
		}
		var row record
		if err := json.Unmarshal(raw, &row); err != nil {
			return nil, fmt.Errorf("%q: %w", key, err)
		}
		info, err := row.info(key, dir)
		if err != nil {
			return nil, err
		}
		infos = append(infos, info)
	}
	return infos, nil
}

func (r *record) info(name string, dir profile.StoreDir) (*profile.Info, error) {
	p, err := parseName(name, dir)
	if err != nil {
		return nil, err
	}
	info := &profile.Info{Path: p, NarSize: r.NarSize}
	if r.NarSize < 0 {
		return nil, fmt.Errorf("%q: NAR size %d", p, r.NarSize)
	}
	if r.NarHash != "" {
		if info.NarHash, err = profile.ParseHash(r.NarHash); err != nil {
			return nil, fmt.Errorf("%q: %w", p, err)
		}
	}
	if !info.NarHash.Known() { // every version writes it, and without it nothing would be checked
		return nil, fmt.Errorf("%q: its NAR hash is missing", p)
	}
	if r.References == nil {
		return nil, fmt.Errorf("%q: its references are missing", p)
	}
	var refs []string
	if err := json.Unmarshal(r.References, &refs); err != nil {
		return nil, fmt.Errorf("references of %q: %w", p, err)
	}
	for _, ref := range refs {
		q, err := parseName(ref, dir)
		if err != nil {
			return nil, fmt.Errorf("references of %q: %w", p, err)
		}
		info.References = append(info.References, q)
	}
	if r.Deriver != "" {
		if info.Deriver, err = parseName(r.Deriver, dir); err != nil {
			return nil, fmt.Errorf("deriver of %q: %w", p, err)
		}
	}
	for _, raw := range r.Signatures {
		s, err := parseSignature(raw)
		if err != nil {
			return nil, fmt.Errorf("signatures of %q: %w", p, err)
		}
		info.Signatures = append(info.Signatures, s)
	}
	if info.CA, err = parseCA(r.CA); err != nil {
		return nil, fmt.Errorf("content address of %q: %w", p, err)
	}
	return info, nil
}

// parseSignature parses "name:base64" or, since format 3, an object of the two parts.
func parseSignature(raw json.RawMessage) (string, error) {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s, nil
	}
	var pair struct{ KeyName, Sig string }
	if err := json.Unmarshal(raw, &pair); err != nil {
		return "", err
	}
	return pair.KeyName + ":" + pair.Sig, nil
}

// parseCA parses a content address: a string or, since format 2, an object of its parts.
func parseCA(raw json.RawMessage) (string, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return "", nil
	}
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s, nil
	}
	var ca struct{ Method, Hash string }
	if err := json.Unmarshal(raw, &ca); err != nil {
		return "", err
	}
	hash := strings.Replace(ca.Hash, "-", ":", 1)
	switch ca.Method {
	case "nar":
		return "fixed:r:" + hash, nil
	case "flat":
		return "fixed:" + hash, nil
	case "text":
		return "text:" + hash, nil
	}
	return ca.Method + ":" + hash, nil
}

// parseName parses a store path or, since format 2, a base name in dir.
func parseName(s string, dir profile.StoreDir) (profile.Path, error) {
	if strings.Contains(s, "/") {
		return profile.ParsePath(s)
	}
	return profile.ParseBase(dir, s)
}
