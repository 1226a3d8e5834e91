package main

import (
	"context"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// endPoll asks again and again how far a topic is. Once it knows the topic it asks
// the leader alone, with one small request: a poll that also asks for the metadata
// took a twentieth of a core from what is measured.
type endPoll struct {
	b      *bench
	topic  string
	leader int32
	parts  []int32 // nil: the topic is not known yet, or has several leaders
	asked  bool
}

// end is the sum of the topic's end offsets; 0 while there is no such topic.
func (p *endPoll) end(ctx context.Context) int64 {
	if p.parts == nil {
		sum := p.b.end(ctx, p.topic)
		if sum > 0 && !p.asked {
			p.asked = true
			p.learn(ctx)
		}
		return sum
	}
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	t := kmsg.NewListOffsetsRequestTopic()
	t.Topic = p.topic
	for _, n := range p.parts {
		x := kmsg.NewListOffsetsRequestTopicPartition()
		x.Partition, x.Timestamp, x.CurrentLeaderEpoch = n, -1, -1
		t.Partitions = append(t.Partitions, x)
	}
	req.Topics = append(req.Topics, t)
	got, err := p.b.cl.Broker(int(p.leader)).Request(ctx, req)
	resp, ok := got.(*kmsg.ListOffsetsResponse)
	if err != nil || !ok || len(resp.Topics) != 1 {
		p.parts = nil
		return 0
	}
	var sum int64
	for _, x := range resp.Topics[0].Partitions {
		if x.ErrorCode != 0 {
			p.parts = nil
			return 0
		}
		sum += x.Offset
	}
	return sum
}

// learn finds the one leader of all partitions.
func (p *endPoll) learn(ctx context.Context) {
	all, err := p.b.adm.ListTopics(ctx, p.topic)
	if err != nil {
		return
	}
	var parts []int32
	one := true
	all.EachPartition(func(d kadm.PartitionDetail) {
		one = one && (parts == nil || p.leader == d.Leader)
		p.leader, parts = d.Leader, append(parts, d.Partition)
	})
	if one && p.leader >= 0 {
		p.parts = parts
	}
}
