package main

import "unicode/utf8"

// bytesOf are the bytes of a name that JSON cannot hold, or nil: in it they are base 64.
func bytesOf(name string) []byte {
	if utf8.ValidString(name) {
		return nil
	}
	return []byte(name)
}

// notText are those names that JSON cannot hold.
func notText(names []string) (b [][]byte) {
	for _, name := range names {
		if odd := bytesOf(name); odd != nil {
			b = append(b, odd)
		}
	}
	return b
}
