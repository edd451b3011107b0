package nixdb

import (
	"os"
	"testing"

	"github.com/export-profile/export-profile/rootfs/testrun"
)

func TestMain(m *testing.M) { os.Exit(testrun.Run(m)) }
