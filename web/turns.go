package web

import (
	"context"
	"errors"
	"time"
)

// What is made at a time, and how long an answer waits for its turn. An answer is made from much more than it is in the
// end, so that this is what bounds the memory that views take, however many there are at once.
const (
	// pagesAtOnce is how many answers are made at a time for which nobody is asked.
	pagesAtOnce = 3
	// pageTimeout is how long such an answer waits for its turn: one is made in a fraction of a second.
	pageTimeout = 10 * time.Second
)

// errBusy says that the time was over before it was the turn of who asked.
var errBusy = errors.New("others are asking")

// turns lets only some be at something at a time.
type turns struct {
	// taken has room for each of them.
	taken chan struct{}
	// patience is how long somebody waits for a turn and, once it is there, for what others are asked.
	patience time.Duration
}

func newTurns(atOnce int, patience time.Duration) turns {
	return turns{make(chan struct{}, atOnce), patience}
}

// take does something when it is its turn, which ends with it. Its error is errBusy: then it was not done.
func (t turns) take(ctx context.Context, do func(context.Context)) error {
	ctx, cancel := context.WithTimeout(ctx, t.patience)
	defer cancel()
	select {
	case t.taken <- struct{}{}:
		defer func() { <-t.taken }()
	case <-ctx.Done():
	}
	if ctx.Err() != nil { // also where both happened at once
		return errBusy
	}
	do(ctx)
	return nil
}
