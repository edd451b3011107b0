package rootfs

import (
	"fmt"
	"math"
	"strconv"
)

// MaxRootlessID is the largest user or group id that rootless podman can map
// with the 65536 subordinate ids that distributions give to a user.
const MaxRootlessID = 65535

// ParseID parses a user or group id. It refuses the largest number, which means "no change" to chown.
func ParseID(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n >= math.MaxUint32 {
		return 0, fmt.Errorf("%q is not a number of a user or group", s)
	}
	return int(n), nil
}
