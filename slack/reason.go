package slack

import (
	"encoding/json"
	"net/http"
	"strings"
)

// Reason is why a delivery failed: one word of a closed set.
type Reason string

// Slack's words, as far as they are documented or have been seen; the body of a refusal is one of them.
const (
	invalidPayload      Reason = "invalid_payload"
	invalidBlocks       Reason = "invalid_blocks"
	invalidBlocksFormat Reason = "invalid_blocks_format"
	invalidAttachments  Reason = "invalid_attachments"
	tooManyAttachments  Reason = "too_many_attachments"
	noText              Reason = "no_text"
	missingText         Reason = "missing_text_or_fallback_or_attachments"
	tooLong             Reason = "msg_too_long"
	blocksTooLong       Reason = "msg_blocks_too_long"
	userNotFound        Reason = "user_not_found"

	invalidToken        Reason = "invalid_token"
	actionProhibited    Reason = "action_prohibited"
	postingDenied       Reason = "posting_to_general_channel_denied"
	noService           Reason = "no_service"
	noServiceID         Reason = "no_service_id"
	noActiveHooks       Reason = "no_active_hooks"
	noTeam              Reason = "no_team"
	teamDisabled        Reason = "team_disabled"
	channelNotFound     Reason = "channel_not_found"
	channelArchived     Reason = "channel_is_archived"
	rollupError         Reason = "rollup_error"
	rateLimited         Reason = "rate_limited"
	messageLimitReached Reason = "message_limit_exceeded"
)

// Our own words, for what is not one of Slack's answers.
const (
	otherRefusal Reason = "refused"       // a 4xx with a body that we do not know
	serverError  Reason = "server_error"  // a 5xx with a body that we do not know
	redirected   Reason = "redirected"    // a 3xx, which is not followed: it would lose the message
	notOK        Reason = "not_ok"        // a 2xx without the body "ok": whoever answered, it was not Slack
	timedOut     Reason = "timeout"       // no answer in time
	noHost       Reason = "host_unknown"  // the name does not resolve
	badTLS       Reason = "untrusted"     // the certificate is not trusted or TLS failed
	disconnected Reason = "disconnected"  // no connection, or it broke
	stopped      Reason = "stopped"       // the caller ended it
	nothing      Reason = "empty_message" // there was no message
	noWebhook    Reason = "no_webhook"    // there was no address
)

// kind says what a word of Slack's means, and false when it is not one that we know.
func (r Reason) kind() (Kind, bool) {
	switch r {
	case invalidPayload, invalidBlocks, invalidBlocksFormat, invalidAttachments, tooManyAttachments,
		noText, missingText, tooLong, blocksTooLong, userNotFound:
		return Payload, true
	case invalidToken, actionProhibited, postingDenied, noService, noServiceID, noActiveHooks, noTeam,
		teamDisabled, channelNotFound, channelArchived:
		return Channel, true
	case rollupError:
		return Temporary, true
	case rateLimited, messageLimitReached:
		return RateLimited, true
	default:
		return 0, false
	}
}

// meaning says in a sentence what happened and what to do.
func (r Reason) meaning() string {
	switch r {
	case invalidToken, noService, noServiceID, noActiveHooks:
		return "Slack does not know the webhook (any more): make a new one and put it into the settings"
	case actionProhibited:
		return "an administrator of the workspace has forbidden it: ask for the app to be allowed"
	case postingDenied:
		return "the webhook may not post to the general channel: make one for another channel and put it into the settings"
	case noTeam, teamDisabled:
		return "the Slack workspace is gone or disabled: make a webhook in another one and put it into the settings"
	case channelNotFound:
		return "the webhook's channel is gone: make a webhook for another channel and put it into the settings"
	case channelArchived:
		return "the webhook's channel is archived: unarchive it, or put a webhook for another channel into the settings"
	case rateLimited:
		return "Slack takes no more messages for now"
	case messageLimitReached:
		return "the Slack workspace has used up its messages: an administrator has to raise the limit"
	case rollupError, serverError:
		return "Slack has trouble of its own"
	case otherRefusal:
		return "the message was refused: see whether the webhook in the settings is right"
	case redirected:
		return "the webhook leads elsewhere: put the final address into the settings"
	case notOK:
		return "the answer was not Slack's: see whether the webhook in the settings is right, and whether a proxy answers in between"
	case timedOut:
		return "no answer in time: see whether the network lets the daemon reach it"
	case noHost:
		return "the host's name does not resolve: see whether the webhook and the cluster's DNS are right"
	case badTLS:
		return "no trusted TLS connection: see whether the host's certificate is issued by a known authority, or a proxy breaks it open"
	case disconnected:
		return "no connection, or it broke: see whether the network lets the daemon reach it"
	case stopped:
		return "ended before there was an answer"
	case nothing:
		return "there is no message"
	case noWebhook:
		return "there is no webhook: put one into the settings"
	default: // Slack's words about the payload
		return "Slack refused the form of the message"
	}
}

// classify says what an answer means: by its body first, because that is what Slack documents, then by
// its status. It is called for every answer but success.
func classify(status int, body []byte) (Kind, Reason) {
	said := answered(body)
	switch {
	case status == http.StatusTooManyRequests && said != messageLimitReached:
		return RateLimited, rateLimited
	case status >= 300 && status < 400:
		return Channel, redirected
	}
	if kind, known := said.kind(); known {
		return kind, said
	}
	switch {
	case status < 300:
		return Channel, notOK
	case status >= 500, status == http.StatusRequestTimeout:
		return Temporary, serverError
	case status == http.StatusBadRequest, status == http.StatusRequestEntityTooLarge, status == http.StatusUnprocessableEntity:
		return Payload, otherRefusal
	default:
		return Channel, otherRefusal
	}
}

// answered is the one word of an answer, be it plain text or the error of a JSON object.
func answered(body []byte) Reason {
	var object struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(body, &object) == nil && object.Error != "" {
		return Reason(object.Error)
	}
	return Reason(strings.TrimSpace(string(body)))
}
