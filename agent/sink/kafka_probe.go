package sink

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Probe logs in, looks for the topic and the right to write to it, and asks for a producer's id, as a batch does before its
// first message. It produces nothing.
func (k *kafka) Probe(ctx context.Context) error {
	for _, f := range []*file{k.password, k.token} {
		if _, err := f.secret(); err != nil {
			return err
		}
	}
	client, err := k.acquire()
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, time.Duration(k.opts.Timeout))
	defer cancel()
	_ = client.heard.first() // of a batch before
	done := make(chan error, 1)
	go func() { // which franz-go keeps waiting for a broker that says nothing, until the client is closed
		defer k.release(client)
		done <- k.ask(limited, client)
	}()
	select {
	case err = <-done:
	case <-limited.Done():
		err = limited.Err()
	}
	if err != nil {
		return k.unproven(ctx, client, err)
	}
	return nil
}

func (k *kafka) ask(ctx context.Context, client *kafkaClient) error {
	if err := k.describe(ctx, client); err != nil {
		return err
	}
	request := kmsg.NewPtrInitProducerIDRequest()
	request.ProducerID, request.ProducerEpoch = -1, -1
	answer, err := request.RequestWith(ctx, client)
	if err != nil {
		return err
	}
	return kerr.ErrorForCode(answer.ErrorCode)
}

var (
	errKafkaRight = errors.New("the user may not write to it: give it that right")
	errKafkaEmpty = errors.New("the broker did not answer about it")
)

// describe asks for the topic, which is not made by that.
func (k *kafka) describe(ctx context.Context, client *kafkaClient) error {
	request := kmsg.NewPtrMetadataRequest()
	topic := kmsg.NewMetadataRequestTopic()
	topic.Topic = new(k.opts.Topic)
	request.Topics = append(request.Topics, topic)
	request.IncludeTopicAuthorizedOperations = true
	answer, err := request.RequestWith(ctx, client)
	if err != nil {
		return err
	}
	if len(answer.Topics) != 1 {
		return errKafkaEmpty
	}
	found := answer.Topics[0]
	if err := kerr.ErrorForCode(found.ErrorCode); err != nil {
		return err
	}
	const write = 1<<kmsg.ACLOperationWrite | 1<<kmsg.ACLOperationAll
	// An older broker leaves it out, and one without authorization may say none at all.
	if rights := found.AuthorizedOperations; rights > 0 && rights&write == 0 {
		return errKafkaRight
	}
	for _, p := range found.Partitions {
		if err := kerr.ErrorForCode(p.ErrorCode); err != nil && !errors.Is(err, kerr.ReplicaNotAvailable) {
			return fmt.Errorf("partition %d: %w", p.Partition, err)
		}
	}
	return nil
}

// unproven is the error of a probe. Why a broker could not be reached, franz-go tells in its log alone.
func (k *kafka) unproven(ctx context.Context, client *kafkaClient, err error) error {
	cause := err
	var text string
	heard := client.heard.first()
	switch {
	case isKafkaAftermath(err) && !errors.Is(heard, errKafkaSilent):
		cause, text = heard, kafkaText(heard)
	case ctx.Err() != nil:
		cause = context.Cause(ctx)
		text = cause.Error()
	case errors.Is(err, context.DeadlineExceeded):
		text = fmt.Sprintf("no answer within %s", k.opts.Timeout)
	default:
		text = kafkaText(err)
	}
	return &cleanError{text: fmt.Sprintf("topic %s: %s", k.opts.Topic, text), err: cause}
}
