package ocilayout

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	ispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// mergeIndex adds descriptors to an index. Each replaces the descriptor with the same reference name.
// All other bytes stay the same, including fields that this program does not know.
// It returns the new index and the descriptors that left it.
func mergeIndex(old []byte, images []ispec.Descriptor) (merged []byte, replaced []ispec.Descriptor, err error) {
	fields, err := parseObject(old)
	if err != nil {
		return nil, nil, fmt.Errorf("parse index: %w", err)
	}
	at := slices.IndexFunc(fields, func(f field) bool { return f.name == "manifests" })
	if at < 0 {
		at = len(fields)
		fields = append(fields, field{"manifests", json.RawMessage("[]")})
	}
	var manifests []json.RawMessage
	if err := json.Unmarshal(fields[at].value, &manifests); err != nil {
		return nil, nil, fmt.Errorf("parse index: %w", err)
	}

	byRef := make(map[string]json.RawMessage, len(images)) // images that have no place yet
	taken := make(map[string]bool, len(images))
	for _, d := range images {
		ref := d.Annotations[ispec.AnnotationRefName]
		if byRef[ref], err = json.Marshal(d); err != nil {
			return nil, nil, err
		}
		taken[ref] = true
	}
	kept := make([]json.RawMessage, 0, len(manifests)+len(images))
	for _, raw := range manifests {
		var d ispec.Descriptor
		if err := json.Unmarshal(raw, &d); err != nil {
			return nil, nil, fmt.Errorf("parse index: %w", err)
		}
		ref, ok := d.Annotations[ispec.AnnotationRefName]
		if !ok || !taken[ref] {
			kept = append(kept, raw)
			continue
		}
		replaced = append(replaced, d)
		if raw := byRef[ref]; raw != nil {
			kept = append(kept, raw)
			delete(byRef, ref)
		}
	}
	for _, d := range images {
		if raw := byRef[d.Annotations[ispec.AnnotationRefName]]; raw != nil {
			kept = append(kept, raw)
		}
	}
	fields[at].value = slices.Concat([]byte("["), bytes.Join(rawBytes(kept), []byte(",")), []byte("]"))
	return formatObject(fields), replaced, nil
}

// field is a member of a JSON object, in its original order and spelling.
type field struct {
	name  string
	value json.RawMessage
}

func parseObject(b []byte) ([]field, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.Join(errors.New("not an object"), err)
	}
	var fields []field
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, err
		}
		f := field{name: name.(string)} // the decoder accepts no other type as a name
		if err := d.Decode(&f.value); err != nil {
			return nil, err
		}
		if slices.ContainsFunc(fields, func(g field) bool { return g.name == f.name }) {
			return nil, fmt.Errorf("%q occurs twice", f.name)
		}
		fields = append(fields, f)
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("something follows the object")
	}
	return fields, nil
}

func formatObject(fields []field) []byte {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, f := range fields {
		if i > 0 {
			b.WriteByte(',')
		}
		name, _ := json.Marshal(f.name) // encoding a string cannot fail
		b.Write(name)
		b.WriteByte(':')
		b.Write(f.value)
	}
	b.WriteString("}\n")
	return b.Bytes()
}

func rawBytes(raw []json.RawMessage) [][]byte {
	b := make([][]byte, len(raw))
	for i, r := range raw {
		b[i] = r
	}
	return b
}
