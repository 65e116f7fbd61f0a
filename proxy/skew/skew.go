// Package skew tells a wrong token from a wrong clock. A token of Gitaly's second version carries
// the time at which its sender made it, and is valid for half a minute: a sender with the right
// secret and a wrong clock is refused like one with a wrong secret.
// It promises to say nothing about the clock to a sender that does not know the secret.
package skew

import (
	"context"
	"strconv"
	"time"

	gitalyauth "gitlab.com/gitlab-org/gitaly/v16/auth"
)

// Of returns by how much the sender's clock is ahead of now (behind, if it is negative). ok is
// false unless the token in the authorization header of ctx was made with the secret.
func Of(ctx context.Context, secret string, now time.Time) (ahead time.Duration, ok bool) {
	info, err := gitalyauth.ExtractAuthInfo(ctx)
	if err != nil {
		return 0, false
	}
	seconds, err := strconv.ParseInt(info.Message, 10, 64)
	if err != nil {
		return 0, false
	}
	made := time.Unix(seconds, 0)
	if gitalyauth.CheckToken(ctx, secret, made) != nil {
		return 0, false
	}
	return made.Sub(now), true
}

// Text gives the next step for a clock that is ahead by that much.
func Text(ahead time.Duration) string {
	way := "ahead of"
	if ahead < 0 {
		way, ahead = "behind", -ahead
	}
	return "the token is right, but the sender's clock is " + ahead.Round(time.Second).String() + " " + way +
		" this instance's, and at most " + gitalyauth.TokenValidityDuration().String() + " are allowed: set the clocks"
}
