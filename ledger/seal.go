package ledger

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc64"
	"io"
)

var (
	// ErrUnreadable is that bytes are damaged, or are no shard of a ledger.
	ErrUnreadable = errors.New("not a readable shard of a ledger")
	// ErrNewer is that bytes were written by a later version of clairwatch, which this one cannot read.
	ErrNewer = errors.New("a shard of a ledger that a later version wrote")
)

// The bytes of a shard are
//
//	magic, version (1), term (8), checksum of all but itself (8), length of the raw part (uvarint),
//	raw part, packed part
//
// All versions have the form up to the checksum in common. The one of before, which does not say since when a record is
// there, is read too; what has changed is written in the last one.
const (
	magic      = "clairwatch ledger\n"
	oldest     = 1
	version    = 2
	sumAt      = len(magic) + 1 + 8
	headerSize = sumAt + 8

	// maxData is more than a shard of any version can have.
	maxData = 1 << 20
	// maxPacked is how large the packed part may be before it is compressed, and maxThings how many
	// destinations, records, failures and images it may list. Real ones stay below a tenth. With them a
	// shard takes less than 100 MB of memory, whoever made it.
	maxPacked = 4 << 20
	maxThings = 1 << 17
)

// seal makes the bytes of a shard of its two parts.
//
// Compression makes a packed part of 322 KiB one of 154. flate's best level takes seven times as long as this
// one for half a percent less, zstd saves one percent and would be one dependency more.
func seal(term uint64, raw, packed []byte) ([]byte, error) {
	head := append([]byte(magic), version)
	head = binary.BigEndian.AppendUint64(head, term)
	head = append(head, make([]byte, headerSize-sumAt)...)
	head = binary.AppendUvarint(head, uint64(len(raw)))
	sealed := bytes.NewBuffer(append(head, raw...))
	w, err := flate.NewWriter(sealed, flate.DefaultCompression)
	if err != nil {
		return nil, fmt.Errorf("compressing: %w", err)
	}
	if _, err := w.Write(packed); err != nil {
		return nil, fmt.Errorf("compressing: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("compressing: %w", err)
	}
	data := sealed.Bytes()
	binary.BigEndian.PutUint64(data[sumAt:], checksum(data))
	return data, nil
}

// unseal returns the term, the version and the two parts.
func unseal(data []byte) (term uint64, v byte, raw, packed []byte, err error) {
	term, v, err = header(data)
	switch {
	case err != nil:
		return 0, 0, nil, nil, err
	case v > version:
		return 0, 0, nil, nil, fmt.Errorf("version %d: %w", v, ErrNewer)
	case v < oldest:
		return 0, 0, nil, nil, fmt.Errorf("version %d: %w", v, ErrUnreadable)
	}
	size, n := binary.Uvarint(data[headerSize:])
	rest := data[headerSize+max(n, 0):]
	if n <= 0 || size > uint64(len(rest)) {
		return 0, 0, nil, nil, fmt.Errorf("its first part is too long: %w", ErrUnreadable)
	}
	raw = rest[:size]
	packed, err = io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(rest[size:])), maxPacked+1))
	if err != nil {
		return 0, 0, nil, nil, fmt.Errorf("decompressing: %w: %w", err, ErrUnreadable)
	}
	if len(packed) > maxPacked {
		return 0, 0, nil, nil, fmt.Errorf("more than %d bytes when decompressed: %w", maxPacked, ErrUnreadable)
	}
	return term, v, raw, packed, nil
}

// Term returns the term of the leader that wrote the bytes of a shard, of any version. errors.Is says
// ErrUnreadable when they are damaged or something else.
func Term(data []byte) (uint64, error) {
	term, _, err := header(data)
	return term, err
}

func header(data []byte) (term uint64, v byte, err error) {
	switch {
	case len(data) < headerSize || string(data[:len(magic)]) != magic:
		return 0, 0, fmt.Errorf("it does not begin as one: %w", ErrUnreadable)
	case len(data) > maxData:
		return 0, 0, fmt.Errorf("more than %d bytes: %w", maxData, ErrUnreadable)
	case binary.BigEndian.Uint64(data[sumAt:]) != checksum(data):
		return 0, 0, fmt.Errorf("its checksum is another: %w", ErrUnreadable)
	}
	return binary.BigEndian.Uint64(data[len(magic)+1:]), data[len(magic)], nil
}

// checksum returns that of the bytes of a shard, without the place where it stands itself. It notices any
// wrong bit and any 64 in a row.
func checksum(data []byte) uint64 {
	table := crc64.MakeTable(crc64.ECMA)
	return crc64.Update(crc64.Update(0, table, data[:sumAt]), table, data[headerSize:])
}
