package registry

import (
	"flag"
	"os"
	"testing"

	"github.com/export-profile/export-profile/rootfs/testrun"
)

// TestMain runs more tests at once than there are processors, since most of them wait.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	os.Exit(testrun.Run(m))
}
