package attestation

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// maxMembers limits the keys of an object. Those that are read have fewer than ten.
const maxMembers = 256

// object decodes a JSON object into its values. Package json takes "Payload" for "payload", and the last of two equal keys;
// other programs take the first. So object keeps the case of keys and refuses two keys that are equal but for case.
// It leaves out keys whose value is null, which is how protocol buffers in JSON may write that there is none.
// Values may be nested as deeply as package json accepts.
func object(text []byte) (map[string]json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("not a JSON object")
	}
	values, folded := map[string]json.RawMessage{}, map[string]bool{}
	for d.More() {
		t, err := d.Token()
		key, ok := t.(string)
		if err != nil || !ok {
			return nil, errors.New("not a JSON object")
		}
		fold := strings.ToLower(strings.ToUpper(key)) // ſ becomes s, as in package json
		if folded[fold] {
			return nil, fmt.Errorf("key %q occurs twice", key)
		}
		folded[fold] = true
		if len(folded) > maxMembers {
			return nil, fmt.Errorf("the JSON object has more than %d keys", maxMembers)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, fmt.Errorf("value of key %q: not JSON", key)
		}
		if string(value) != "null" {
			values[key] = value
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, errors.New("the JSON object does not end")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is text after the JSON object")
	}
	return values, nil
}

// objectOf is like object, but refuses keys other than those that are known.
func objectOf(text []byte, known ...string) (map[string]json.RawMessage, error) {
	values, err := object(text)
	if err != nil {
		return nil, err
	}
	for key := range values {
		if !slices.Contains(known, key) {
			return nil, fmt.Errorf("key %q is not known", key)
		}
	}
	return values, nil
}

// text decodes a JSON string. A key that is missing is an error.
func text(values map[string]json.RawMessage, key string) (string, error) {
	raw, ok := values[key]
	if !ok {
		return "", fmt.Errorf("%q is missing", key)
	}
	var s *string
	if err := json.Unmarshal(raw, &s); err != nil || s == nil {
		return "", fmt.Errorf("%q is not a string", key)
	}
	return *s, nil
}

// base64Text decodes a JSON string in base 64, in the one form that encodes its bytes.
func base64Text(values map[string]json.RawMessage, key string) ([]byte, error) {
	s, err := text(values, key)
	if err != nil {
		return nil, err
	}
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	if err != nil || strings.ContainsAny(s, "\r\n") { // DecodeString skips newlines
		return nil, fmt.Errorf("%q is not in base 64", key)
	}
	return b, nil
}
