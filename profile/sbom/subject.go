package sbom

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
)

// maxDepth limits how deep a document may nest. SPDX and CycloneDX need less than twenty levels.
const maxDepth = 1000

// IsAbout reports whether a document of the format says that it is about the image whose manifest has the digest ("sha256:<hex>").
// In SPDX, a package has the digest as its versionInfo; in CycloneDX, the component in the metadata has it as its version.
// Write writes the digest there, and so does syft. A document that is not JSON is about nothing.
func (f Format) IsAbout(document []byte, digest string) bool {
	where := []string{"packages", "", "versionInfo"} // "" stands for a list
	if f == CycloneDX {
		where = []string{"metadata", "component", "version"}
	}
	var at []string     // the keys and lists that lead to the next value
	var objects []bool  // for each open object or list, whether it is an object
	var key, found bool // whether the next string is a key
	ended := func() { key = len(objects) > 0 && objects[len(objects)-1] }
	for dec := json.NewDecoder(bytes.NewReader(document)); ; {
		token, err := dec.Token()
		if err != nil {
			return found && err == io.EOF && len(objects) == 0
		}
		switch v := token.(type) {
		case json.Delim:
			switch v {
			case '{', '[':
				if len(objects) == maxDepth {
					return false
				}
				objects, at, key = append(objects, v == '{'), append(at, ""), v == '{'
			default:
				objects, at = objects[:len(objects)-1], at[:len(at)-1]
				ended()
			}
			continue
		case string:
			if key {
				at[len(at)-1], key = v, false
				continue
			}
			found = found || v == digest && slices.Equal(at, where)
		}
		ended()
	}
}
