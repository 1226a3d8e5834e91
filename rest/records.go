package rest

import (
	"slices"
	"strconv"
	"strings"

	"millrace/internal/worker"
)

// Most and usual number of records of one answer.
const (
	mostRecords  = 500
	usualRecords = 20
)

// records answers GET /connectors/NAME/topics/TOPIC/records?limit=20&key=…&after=0:17,1:9,
// which Connect does not have: the newest records of a topic, decoded. With
// at=0:17 those around a record; with schema=true keys and values have their schemas; with
// positions=true the answer is {"after": …, "records": […]}; after is for the next question.
func (s *Server) records(c *call) error {
	q := query(c.r)
	ask := worker.RecordQuery{Limit: usualRecords, Key: q.Get("key"), After: map[int32]int64{}}
	if v := q.Get("limit"); v != "" {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > mostRecords {
			return &worker.StatusError{Code: 400, Msg: "limit must be a number from 1 to " + strconv.Itoa(mostRecords)}
		}
		ask.Limit = n
	}
	if v := q.Get("after"); v != "" {
		for _, x := range strings.Split(v, ",") {
			p, o, ok := strings.Cut(x, ":")
			partition, err := strconv.ParseInt(p, 10, 32)
			offset, err2 := strconv.ParseInt(o, 10, 64)
			if !ok || err != nil || err2 != nil {
				return &worker.StatusError{Code: 400, Msg: "after must list partition:offset, such as 0:17,1:9"}
			}
			ask.After[int32(partition)] = offset
		}
	}
	if v := q.Get("at"); v != "" {
		p, o, ok := strings.Cut(v, ":")
		partition, err := strconv.ParseInt(p, 10, 32)
		offset, err2 := strconv.ParseInt(o, 10, 64)
		if !ok || err != nil || err2 != nil {
			return &worker.StatusError{Code: 400, Msg: "at must be partition:offset, such as 0:17"}
		}
		ask.At = &worker.RecordPlace{Partition: int32(partition), Offset: offset}
	}
	ask.Schema = flag(q, "schema")
	positions := flag(q, "positions")
	if positions {
		ask.Reached = map[int32]int64{}
	}
	out, err := s.b.Records(c.r.Context(), c.args[0], c.args[1], ask)
	if err != nil {
		return err
	}
	if !positions {
		return c.json(200, out)
	}
	var after []string
	for p, o := range ask.Reached {
		after = append(after, strconv.Itoa(int(p))+":"+strconv.FormatInt(o, 10))
	}
	slices.Sort(after)
	return c.json(200, struct {
		After   string               `json:"after"`
		Records []worker.TopicRecord `json:"records"`
	}{strings.Join(after, ","), out})
}
