package sqlite

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// log locates the newest version of each page in a write-ahead log.
//
// The file has a header of 32 bytes and then frames, each a header of 24 bytes and a page:
//
//	header                        frame
//	 0  0x377f0682, or with        0  page number
//	    big-endian checksums ...3  4  pages of the database if a transaction ends here, or 0
//	 4  3007000                    8  the salts of the header
//	 8  page size                 16  checksum of the first 8 bytes, the page and all frames before
//	12  how often it restarted
//	16  two salts
//	24  checksum of the first 24 bytes
//
// SQLite restarts a log at its beginning with new salts. Frames with other salts are left over from before the restart.
type log struct {
	r        io.ReaderAt
	pageSize int
	frames   map[uint32]uint32 // by page
}

const (
	logHeader    = 32
	frameHeader  = 24
	logMagic     = 0x377f0682
	logVersion   = 3007000
	maxLogFrames = 1 << 20 // Nix restarts its log after 40 000
)

// offset returns where the page of a frame begins.
func (l *log) offset(frame uint32) int64 {
	return logHeader + int64(frame)*int64(frameHeader+l.pageSize) + frameHeader
}

// openLog finds the pages of complete transactions. Like SQLite, it ignores the rest of the log.
func (f *File) openLog(ctx context.Context, r io.ReaderAt) error {
	if r == nil {
		return nil
	}
	in := bufio.NewReaderSize(io.NewSectionReader(r, 0, math.MaxInt64), 256<<10)
	var h [logHeader]byte
	if _, err := io.ReadFull(in, h[:]); err != nil {
		return exceptEOF(err)
	}
	field := func(i int) uint32 { return getUint32(h[:], i) }
	sum := checksum{order: binary.LittleEndian}
	switch field(0) {
	case logMagic:
	case logMagic | 1:
		sum.order = binary.BigEndian
	default:
		return nil
	}
	if sum.add(h[:24]); !sum.equals(h[24:]) || !validPageSize(int(field(8))) {
		return nil
	}
	if field(4) != logVersion {
		return fmt.Errorf("version %d of its log is not supported, only %d is", field(4), logVersion)
	}
	if field(8) != uint32(f.pageSize) {
		return damaged("pages of %d bytes, but of %d in its log", f.pageSize, field(8))
	}
	l := &log{r: r, pageSize: f.pageSize, frames: make(map[uint32]uint32)}
	var open []uint32 // pages of the unfinished transaction
	frame := make([]byte, frameHeader+f.pageSize)
	for n := uint32(0); ; n++ {
		if n%64 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if _, err := io.ReadFull(in, frame); err != nil {
			return exceptEOF(err)
		}
		page, size := getUint32(frame, 0), getUint32(frame, 4)
		if page == 0 || [8]byte(frame[8:]) != [8]byte(h[16:]) {
			return nil
		}
		sum.add(frame[:8])
		if sum.add(frame[frameHeader:]); !sum.equals(frame[16:]) {
			return nil
		}
		if n == maxLogFrames {
			return fmt.Errorf("its log has more than %d pages", maxLogFrames)
		}
		open = append(open, page)
		if size == 0 {
			continue
		}
		for i, page := range open {
			l.frames[page] = n + 1 - uint32(len(open)-i)
		}
		open = open[:0]
		f.log, f.pages = l, size
	}
}

// checksum computes the checksums of a log. Each continues that of the frame before.
type checksum struct {
	order binary.ByteOrder
	s     [2]uint32
}

func (c *checksum) add(b []byte) {
	s0, s1 := c.s[0], c.s[1]
	if c.order == binary.LittleEndian {
		for ; len(b) >= 8; b = b[8:] {
			s0 += binary.LittleEndian.Uint32(b) + s1
			s1 += binary.LittleEndian.Uint32(b[4:]) + s0
		}
	} else {
		for ; len(b) >= 8; b = b[8:] {
			s0 += binary.BigEndian.Uint32(b) + s1
			s1 += binary.BigEndian.Uint32(b[4:]) + s0
		}
	}
	c.s = [2]uint32{s0, s1}
}

// equals compares the sum with one stored in the file, which is always big-endian.
func (c *checksum) equals(b []byte) bool {
	return getUint32(b, 0) == c.s[0] && getUint32(b, 4) == c.s[1]
}

// exceptEOF returns nil if err says that the file has ended.
func exceptEOF(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return nil
	}
	return err
}
