package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// Client asks a router over its control socket. It may be used by any number of
// goroutines.
type Client struct {
	path string
	http *http.Client
}

// NewClient returns a client of the socket at path. It connects when asked.
func NewClient(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
	return &Client{path, &http.Client{
		Timeout:   10 * time.Second,
		Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true},
	}}
}

// ErrNoRouter says that nothing answers at the control socket.
var ErrNoRouter = errors.New("no router answers at the control socket")

// Status asks for the router's status. The error wraps ErrNoRouter where nobody
// answers.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	return s, c.get(ctx, StatusPath, &s)
}

func (c *Client) get(ctx context.Context, path string, into any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+Host+path, nil)
	if err != nil {
		return fmt.Errorf("control: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return &Error{
			text: fmt.Sprintf("%v %s", ErrNoRouter, c.path), cause: fmt.Errorf("%w: %w", ErrNoRouter, err),
			hint: "start a router (upsycle run), or name its socket with --control",
		}
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		var f Failure
		if err := json.NewDecoder(resp.Body).Decode(&f); err != nil || f.Error == "" {
			return &Error{text: "the router answered " + resp.Status, hint: "it may be of another version"}
		}
		return &Error{text: f.Error, hint: f.Hint}
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return &Error{text: "the router's answer cannot be read: " + err.Error(), hint: "it may be of another version", cause: err}
	}
	return nil
}
