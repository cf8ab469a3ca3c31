package ledger

import (
	"time"

	"github.com/clairwatch/clairwatch/findings"
)

// Destination is a Scanner as it is written in the settings: who is told. What was told to one
// destination says nothing about another.
type Destination struct {
	// Key is the key of the settings, Name the Scanner's name within it.
	Key, Name string
}

// Image is what a node runs.
type Image struct {
	// ID is the digest, or the id of the config, that the container's status shows.
	ID string
	// Platform is that of the node, for example linux/amd64.
	Platform string
}

// Failure is why an image could not be scanned.
type Failure struct {
	// Cause is a word of the caller's; empty when there is no failure.
	Cause string
	// Next is when to try again, to the second; zero when that is not known.
	Next time.Time
	// Unheard says that it was kept from the destination, which does not want to hear of failures: neither it nor its
	// end is told when that has changed.
	Unheard bool
	// Shared is as in Told.
	Shared bool
}

// Told is what a message told a destination: findings of an image, that an image could not be scanned, or
// that such a failure is over. It makes the destination known, whatever else it says.
type Told struct {
	Destination Destination
	// Digest is that of the platform manifest, sha256:…; empty when it is about a failure.
	Digest string
	// Name is the image as people know it. It is kept with the record, for a message about its end. Empty: the
	// one of before stays.
	Name string
	// Change is what the message told and what the rules held back. The record becomes what it was With
	// this; the first one becomes the record.
	Change findings.Record
	// At is when the message was accepted, to the second; zero when that is not known. It counts for what begins with
	// this record, as Since says, and for no failure.
	At time.Time
	// Image and Failure count when Digest is empty. A Failure without a Cause is over.
	Image   Image
	Failure Failure
	// Shared says that it was told for other destinations too, those with other keys whose Scanner is the same one. It
	// counts for what begins with this: the rest of a record was told before, and to whom is known.
	Shared bool
}

// Held is a record without its findings.
type Held struct {
	// Digest is that of the platform manifest.
	Digest string
	// Name is the last one that was told with it; empty when none was.
	Name string
	// Clair is the NameID of the address of the Clair that the record comes from.
	Clair findings.ID
	// Gone is since when the destination does not run the image; zero while it does.
	Gone time.Time
	// Jobs says that only Jobs ran it.
	Jobs bool
	// Shared is as in Told.
	Shared bool
}

// HeldFailure is an image that could not be scanned.
type HeldFailure struct {
	Image
	Failure
	// Gone is since when the destination does not run the image; zero while it does.
	Gone time.Time
}
