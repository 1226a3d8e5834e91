package objectstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"

	"millrace/internal/errs"
)

// s3Options is where a bucket is and how to get in.
type s3Options struct {
	bucket, region, endpoint string
	prefix                   string // before every key
	pathStyle                bool
	accessKey, secretKey     string // "": the default chain: environment, files, the machine's role
	roleARN, roleSession     string
	roleExternalID           string
	roleDuration             time.Duration
	stsEndpoint              string
	proxy                    string
	proxyUser, proxyPassword string
	accelerate, digest       bool
	sse, kmsKey, acl         string
	customerKey              string // of SSE-C, as bytes
	partSize                 int64
	retries                  int
	backoff, backoffMax      time.Duration
}

// partsAtOnce bounds the parts of one file in flight; they are read from the spool
// as they go, so they take no memory.
const partsAtOnce = 4

type s3Target struct {
	cfg s3Options
	cl  *s3.Client
}

// between is the delay before a try: doubled from one to the next, with jitter.
type between struct{ first, most time.Duration }

// BackoffDelay implements retry.BackoffDelayer.
func (d between) BackoffDelay(attempt int, _ error) (time.Duration, error) {
	most := d.most
	if most <= 0 {
		most = 64 * d.first
	}
	delay := min(d.first<<min(attempt, 20), most)
	return delay/2 + rand.N(delay/2+1), nil
}

func newS3(ctx context.Context, o s3Options) (*s3Target, error) {
	// Checksums that a newer S3 wants by default are unknown to many servers that speak its protocol.
	checksums := aws.RequestChecksumCalculationWhenRequired
	if o.digest {
		checksums = aws.RequestChecksumCalculationWhenSupported
	}
	load := []func(*awsconfig.LoadOptions) error{
		awsconfig.WithRegion(o.region),
		awsconfig.WithLogger(logging.Nop{}),
		awsconfig.WithRetryer(func() aws.Retryer {
			return retry.NewStandard(func(so *retry.StandardOptions) {
				so.MaxAttempts = o.retries + 1
				so.Backoff = between{max(o.backoff, 10*time.Millisecond), o.backoffMax}
			})
		}),
		awsconfig.WithRequestChecksumCalculation(checksums),
	}
	if o.accessKey != "" {
		load = append(load, awsconfig.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(o.accessKey, o.secretKey, "")))
	}
	if o.proxy != "" {
		u, err := url.Parse(o.proxy)
		if err != nil {
			return nil, fmt.Errorf("read the proxy address: %w", err)
		}
		tr := http.DefaultTransport.(*http.Transport).Clone()
		if o.proxyUser != "" {
			u.User = url.UserPassword(o.proxyUser, o.proxyPassword)
		}
		tr.Proxy = http.ProxyURL(u)
		load = append(load, awsconfig.WithHTTPClient(&http.Client{Transport: tr}))
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, fmt.Errorf("read the AWS configuration: %w", err)
	}
	if o.roleARN != "" {
		cl := sts.NewFromConfig(cfg, func(so *sts.Options) {
			if o.stsEndpoint != "" {
				so.BaseEndpoint = &o.stsEndpoint
			}
		})
		cfg.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(cl, o.roleARN, func(ro *stscreds.AssumeRoleOptions) {
			ro.RoleSessionName = o.roleSession
			if o.roleExternalID != "" {
				ro.ExternalID = &o.roleExternalID
			}
			if o.roleDuration > 0 {
				ro.Duration = o.roleDuration
			}
		}))
	}
	return &s3Target{cfg: o, cl: s3.NewFromConfig(cfg, func(so *s3.Options) {
		so.UsePathStyle, so.UseAccelerate = o.pathStyle && !o.accelerate, o.accelerate
		if o.endpoint != "" {
			so.BaseEndpoint = &o.endpoint
		}
	})}, nil
}

func (t *s3Target) check(ctx context.Context) error {
	_, err := t.cl.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &t.cfg.bucket})
	var re interface{ HTTPStatusCode() int }
	if errors.As(err, &re) && re.HTTPStatusCode() == http.StatusForbidden {
		return nil // a key may be allowed to write objects and not to look at the bucket
	}
	return t.explain("look for the bucket", "", err)
}

// put uploads a file in one request, or in parts when it is larger than one.
func (t *s3Target) put(ctx context.Context, key string, file object) error {
	key = t.cfg.prefix + key
	if file.size() <= t.cfg.partSize {
		in := &s3.PutObjectInput{Bucket: &t.cfg.bucket, Key: &key, Body: io.NewSectionReader(file, 0, file.size()), ContentLength: aws.Int64(file.size()),
			ServerSideEncryption: types.ServerSideEncryption(t.cfg.sse), ACL: types.ObjectCannedACL(t.cfg.acl)}
		in.SSEKMSKeyId, in.Tagging, in.Metadata = optional(t.cfg.kmsKey), optional(file.tags.Encode()), file.metadata()
		in.SSECustomerAlgorithm, in.SSECustomerKey = t.customer()
		_, err := t.cl.PutObject(ctx, in)
		return t.explain("write the object", key, err)
	}
	return t.putParts(ctx, key, file)
}

// customer is what requests with a customer's key carry.
func (t *s3Target) customer() (algorithm, key *string) {
	if t.cfg.customerKey == "" {
		return nil, nil
	}
	return aws.String("AES256"), &t.cfg.customerKey
}

// Names under which an object keeps what of the topic it holds.
const nextKey, firstKey = "millrace-next-offset", "millrace-first-timestamp"

func (o *object) metadata() map[string]string {
	return map[string]string{nextKey: strconv.FormatInt(o.next, 10), firstKey: strconv.FormatInt(o.first, 10)}
}

// written implements remembering.
func (t *s3Target) written(ctx context.Context, key string) (next, first int64, ok bool, err error) {
	key = t.cfg.prefix + key
	in := &s3.HeadObjectInput{Bucket: &t.cfg.bucket, Key: &key}
	in.SSECustomerAlgorithm, in.SSECustomerKey = t.customer()
	out, err := t.cl.HeadObject(ctx, in)
	var re interface{ HTTPStatusCode() int }
	if errors.As(err, &re) && (re.HTTPStatusCode() == http.StatusNotFound || re.HTTPStatusCode() == http.StatusForbidden) {
		return 0, 0, false, nil // may not look: as if nothing were there
	}
	if err != nil {
		return 0, 0, false, t.explain("look for the object", key, err)
	}
	next, err1 := strconv.ParseInt(out.Metadata[nextKey], 10, 64)
	first, err2 := strconv.ParseInt(out.Metadata[firstKey], 10, 64)
	return next, first, err1 == nil && err2 == nil, nil
}

func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func (t *s3Target) putParts(ctx context.Context, key string, file object) error {
	in := &s3.CreateMultipartUploadInput{Bucket: &t.cfg.bucket, Key: &key, ServerSideEncryption: types.ServerSideEncryption(t.cfg.sse), ACL: types.ObjectCannedACL(t.cfg.acl)}
	in.SSEKMSKeyId, in.Tagging, in.Metadata = optional(t.cfg.kmsKey), optional(file.tags.Encode()), file.metadata()
	in.SSECustomerAlgorithm, in.SSECustomerKey = t.customer()
	up, err := t.cl.CreateMultipartUpload(ctx, in)
	if err != nil {
		return t.explain("begin to upload the object", key, err)
	}
	// S3 takes 10,000 parts at most.
	size := max(t.cfg.partSize, (file.size()+9999)/10000)
	n := int((file.size() + size - 1) / size)
	parts, failures := make([]types.CompletedPart, n), make([]error, n)
	var wg sync.WaitGroup
	slots := make(chan struct{}, partsAtOnce)
	work, cancel := context.WithCancel(ctx)
	defer cancel()
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			from := int64(i) * size
			length := min(size, file.size()-from)
			in := &s3.UploadPartInput{Bucket: &t.cfg.bucket, Key: &key, UploadId: up.UploadId, PartNumber: aws.Int32(int32(i + 1)), Body: io.NewSectionReader(file, from, length), ContentLength: &length}
			in.SSECustomerAlgorithm, in.SSECustomerKey = t.customer()
			out, err := t.cl.UploadPart(work, in)
			if err != nil {
				failures[i] = err
				cancel()
				return
			}
			parts[i] = types.CompletedPart{ETag: out.ETag, PartNumber: aws.Int32(int32(i + 1))}
		})
	}
	wg.Wait()
	for _, e := range failures {
		if e != nil && (err == nil || errors.Is(err, context.Canceled)) {
			err = e
		}
	}
	if err == nil {
		_, err = t.cl.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{Bucket: &t.cfg.bucket, Key: &key, UploadId: up.UploadId,
			MultipartUpload: &types.CompletedMultipartUpload{Parts: parts}})
	}
	if err != nil {
		bye, done := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer done()
		_, _ = t.cl.AbortMultipartUpload(bye, &s3.AbortMultipartUploadInput{Bucket: &t.cfg.bucket, Key: &key, UploadId: up.UploadId})
	}
	return t.explain("upload the object", key, err)
}

// hints are for errors that do not go away by trying again.
var hints = map[string]string{
	"NoSuchBucket":          "create the bucket, or correct its name",
	"NotFound":              "create the bucket, or correct its name and region",
	"AccessDenied":          "the credentials need s3:PutObject and s3:AbortMultipartUpload on the bucket (and kms:GenerateDataKey for SSE-KMS)",
	"InvalidAccessKeyId":    "the access key is not known to the server",
	"SignatureDoesNotMatch": "the secret key does not belong to the access key",
	"PermanentRedirect":     "the bucket is in another region: set it",
	"InvalidBucketName":     "correct the bucket's name",
}

// explain says what failed, whether trying again may help, and what to do if not.
func (t *s3Target) explain(what, key string, err error) error {
	if err == nil {
		return nil
	}
	where := t.cfg.bucket
	if key != "" {
		where += "/" + key
	}
	e := &errs.Error{Java: errs.ConnectException, Msg: fmt.Sprintf("%s s3://%s", what, where), Cause: err, Retriable: true}
	var api smithy.APIError
	if errors.As(err, &api) {
		if hint, fatal := hints[api.ErrorCode()]; fatal {
			e.Retriable, e.Hint = false, hint
		}
	}
	return e
}
