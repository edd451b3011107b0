package attestation

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// bundleLines calls do with the number and the text of each line of a file in JSON Lines, which has one bundle a line.
// Blank lines are ignored. The line is valid during the call. Errors name the line.
func bundleLines(r io.Reader, do func(n int, line []byte) error) error {
	limited := &io.LimitedReader{R: r, N: maxBundles + 1}
	lines := bufio.NewScanner(limited)
	lines.Buffer(nil, MaxBundle+1)
	n := 1
	for ; lines.Scan(); n++ {
		if line := bytes.TrimSpace(lines.Bytes()); len(line) > 0 {
			if err := do(n, line); err != nil {
				return fmt.Errorf("line %d: %w", n, err)
			}
		}
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return fmt.Errorf("line %d: it has more than %d bytes", n, MaxBundle)
	case err != nil:
		return fmt.Errorf("line %d: %w", n, err)
	case limited.N == 0:
		return fmt.Errorf("more than %d bytes: %w", maxBundles, ErrTooMany)
	}
	return nil
}
