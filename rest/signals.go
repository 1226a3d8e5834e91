package rest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"millrace/internal/store"
	"millrace/internal/worker"
)

// Signaler speaks with running tasks.
type Signaler interface {
	Signal(ctx context.Context, name, id, kind string, data []byte) error
	// Log is what the connector's tasks on this worker said lately.
	Log(name string) ([]worker.LogLine, error)
}

// signalKinds are the signals that REST takes.
var signalKinds = []string{"execute-snapshot", "stop-snapshot", "pause-snapshot", "resume-snapshot", "log"}

// signal answers POST /connectors/NAME/signals, which Connect does not have: a signal
// of Debezium, in the JSON of its Kafka channel, for the task that runs.
func (s *Server) signal(c *call) error {
	if there, err := s.elsewhere(c, c.args[0], 0); there || err != nil {
		return err
	}
	body, err := c.body()
	if err != nil {
		return err
	}
	var d struct {
		ID   string          `json:"id"`
		Type string          `json:"type"`
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(body, &d); err != nil {
		return bodyError("the body must be a signal, such as {\"type\":\"execute-snapshot\",\"data\":{\"data-collections\":[\"public.orders\"]}}: " + err.Error())
	}
	if !slices.Contains(signalKinds, d.Type) {
		return bodyError("type must be one of " + strings.Join(signalKinds, ", "))
	}
	if d.ID == "" {
		d.ID = rand.Text()
	}
	if err := s.b.Signal(c.r.Context(), c.args[0], d.ID, d.Type, d.Data); err != nil {
		return err
	}
	return c.json(202, struct {
		ID string `json:"id"`
	}{d.ID})
}

// recentLog answers GET /connectors/NAME/log, which Connect does not have: what the
// connector's tasks said lately.
func (s *Server) recentLog(c *call) error {
	if there, err := s.elsewhere(c, c.args[0], 0); there || err != nil {
		return err
	}
	lines, err := s.b.Log(c.args[0])
	if err != nil {
		return err
	}
	return c.json(200, lines)
}

// rebalances answers GET /worker/rebalances, which Connect does not have: the rounds of
// the group that this worker took part in, newest first. Who joined and who left is
// known to the leader of a round; the present one is asked.
func (s *Server) rebalances(c *call) error {
	out := s.b.Rebalances()
	unknown := func(r worker.Rebalance) bool { return len(r.Members) == 0 }
	if self, url := s.b.Leader(); !self && url != "" && !query(c.r).Has("forward") && slices.ContainsFunc(out.List, unknown) {
		if led := s.rebalancesOf(c, url); led != nil {
			worker.Complete(out.List, led)
		}
	}
	return c.json(200, out)
}

// leaderPatience bounds the question to the leader: the answer is good without it.
const leaderPatience = 3 * time.Second

// rebalancesOf asks another worker; nil when it does not answer.
func (s *Server) rebalancesOf(c *call, url string) *worker.Rebalances {
	ctx, cancel := context.WithTimeout(c.r.Context(), leaderPatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(url, "/")+"/worker/rebalances?forward=false", nil)
	if err != nil {
		return nil
	}
	passAuthorization(req, c.r)
	res, err := s.client.Do(req)
	if err != nil {
		return nil
	}
	defer func() { _ = res.Body.Close() }()
	var out worker.Rebalances
	if res.StatusCode != http.StatusOK || json.NewDecoder(io.LimitReader(res.Body, maxBody)).Decode(&out) != nil {
		return nil // a worker of Kafka Connect
	}
	return &out
}

// Doctor examines everything that a connector of this name and config needs; what it
// returns is the answer. Nothing is changed by it.
type Doctor func(ctx context.Context, name string, config *store.Map) (any, error)

// examine answers PUT /connector-plugins/CLASS/config/doctor, which Connect does not
// have: the doctor's findings about a config.
func (s *Server) examine(c *call) error {
	config, err := parseConfig(c)
	if err != nil {
		return err
	}
	return s.diagnose(c, config.Value("name"), config)
}

// examineRunning answers GET /connectors/NAME/doctor.
func (s *Server) examineRunning(c *call) error {
	info, err := s.b.Info(c.args[0])
	if err != nil {
		return err
	}
	return s.diagnose(c, c.args[0], info.Config)
}

func (s *Server) diagnose(c *call, name string, config *store.Map) error {
	out, err := s.opt.Doctor(c.r.Context(), name, config)
	if err != nil {
		return &worker.StatusError{Code: 400, Msg: err.Error()}
	}
	return c.json(200, out)
}
