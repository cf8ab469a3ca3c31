package main

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/clairwatch/clairwatch/settings"
	"github.com/clairwatch/clairwatch/slack"
)

// channel is a webhook, and the keys of the settings that name it.
type channel struct {
	webhook slack.Webhook
	keys    []string
}

// checkWebhooks names each channel, and with --send sends it a message.
func (c *checkup) checkWebhooks(ctx context.Context, found settingsFound) []row {
	sender := slack.New(slack.Config{Transport: c.slackTransport, UserAgent: userAgent()})
	defer sender.CloseIdleConnections()
	return inOrder(c.channels(found), func(of channel) []row {
		what := "channel " + of.webhook.String()
		namespaces := slices.DeleteFunc(slices.Clone(of.keys), func(key string) bool { return key == settings.AllKey })
		others := len(namespaces) < len(of.keys)
		hears := "hears of " + strings.Join(namespaces, ", ")
		switch {
		case others && len(namespaces) == 0:
			hears += "each namespace without a key"
		case others:
			hears += ", and of each namespace without a key"
		}
		if !c.options.send {
			return []row{{what, isOK, hears + "; not tried: --send sends it a message"}}
		}
		message := slack.Trial{Cluster: c.cfg.Cluster, Namespaces: namespaces, Others: others}.Message()
		if err := sender.Send(ctx, of.webhook, message); err != nil {
			return []row{{what, isProblem, hears + "; " + err.Error()}}
		}
		return []row{{what, isOK, hears + "; it has got a message"}}
	})
}

// channels are those of the settings, in the order of their first keys.
func (c *checkup) channels(found settingsFound) []channel {
	var all []channel
	for _, key := range slices.Sorted(maps.Keys(found.scanners)) {
		for _, s := range found.scanners[key] {
			webhook, err := c.channelOf(s)
			if err != nil {
				continue // its key says so
			}
			i := slices.IndexFunc(all, func(o channel) bool { return o.webhook == webhook })
			if i < 0 {
				i = len(all)
				all = append(all, channel{webhook: webhook})
			}
			if !slices.Contains(all[i].keys, key) {
				all[i].keys = append(all[i].keys, key)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b channel) int { return cmp.Compare(a.keys[0], b.keys[0]) })
	return all
}
