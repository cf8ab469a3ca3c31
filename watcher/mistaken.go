package watcher

import (
	"errors"
	"strings"

	"github.com/clairwatch/clairwatch/settings"
)

// Mistaken is a key of the settings with mistakes.
type Mistaken struct {
	// Key is the one; "(no namespace)" where it is none that there can be.
	Key string
	// Mistakes are what is wrong, as settings.Mistakes has it: a line for each.
	Mistakes []string
	// Effect says what they cause until they are mended.
	Effect string
}

// Mistaken returns the keys of the settings with mistakes, in order. Of those that only inherit from a DefaultsKey with
// mistakes that one speaks, as in the log.
func (w *Watcher) Mistaken() []Mistaken {
	assigned := w.assigned.Load()
	var all []Mistaken
	for _, key := range assigned.mistakes.Keys() {
		mistake := assigned.mistakes[key]
		if errors.Is(mistake, settings.ErrDefaults) {
			continue
		}
		all = append(all, Mistaken{Key: shownKey(key), Mistakes: strings.Split(mistake.Error(), "\n"), Effect: effectOf(assigned, key)})
	}
	return all
}
