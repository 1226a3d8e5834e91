package demo

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
)

// tables are the tables of the demo, in the schema inventory.
var tables = []string{"customers", "products", "orders"}

// shopSQL makes the inventory database that Debezium's tutorial made known.
const shopSQL = `
create schema inventory;
set search_path = inventory;
create table customers (
  id serial primary key, first_name varchar(255) not null, last_name varchar(255) not null, email varchar(255) not null unique);
create table products (
  id serial primary key, name varchar(255) not null, description varchar(512), weight double precision, price numeric(10,2) not null);
create table orders (
  id bigserial primary key, order_date date not null, purchaser int not null references customers(id), product_id int not null references products(id),
  quantity int not null, total numeric(12,2) not null, status varchar(20) not null default 'new', placed_at timestamptz not null default now());
alter sequence customers_id_seq restart with 1001;
alter sequence products_id_seq restart with 101;
alter sequence orders_id_seq restart with 10001;
alter table customers replica identity full; alter table products replica identity full; alter table orders replica identity full;
insert into customers (first_name, last_name, email) values
  ('Sally', 'Thomas', 'sally.thomas@acme.com'), ('George', 'Bailey', 'gbailey@foobar.com'),
  ('Edward', 'Walker', 'ed@walker.com'), ('Anne', 'Kretchmar', 'annek@noanswer.org');
insert into products (name, description, weight, price) values
  ('scooter', 'Small 2-wheel scooter', 3.14, 89.90), ('car battery', '12V car battery', 8.1, 119.00),
  ('12-pack drill bits', '12-pack of drill bits with sizes ranging from #40 to #3', 0.8, 24.50), ('hammer', '12oz carpenter''s hammer', 0.75, 17.99),
  ('hammer', '14oz carpenter''s hammer', 0.875, 19.99), ('rocks', 'box of assorted rocks', 5.3, 4.25),
  ('jacket', 'water resistant black wind breaker', 0.1, 54.00), ('spare tire', '24 inch spare tire', 22.2, 99.00);
insert into orders (order_date, purchaser, product_id, quantity, total, status) values
  (current_date - 3, 1001, 102, 1, 119.00, 'shipped'), (current_date - 2, 1002, 105, 2, 39.98, 'new'), (current_date - 1, 1003, 107, 1, 54.00, 'new');
`

var (
	firstNames = []string{"Ada", "Grace", "Linus", "Barbara", "Edsger", "Katherine", "Dennis", "Radia", "Ken", "Margaret", "Niklaus", "Frances"}
	lastNames  = []string{"Lovelace", "Hopper", "Bailey", "Liskov", "Dijkstra", "Johnson", "Ritchie", "Perlman", "Thompson", "Hamilton", "Wirth", "Allen"}
)

// database is a shop's database of either kind. It is not safe for concurrent use.
type database interface {
	// rows counts the rows of all tables.
	rows(ctx context.Context) (int64, error)
	// first makes one change of each kind, to be shown.
	first(ctx context.Context) error
	// sell makes one transaction.
	sell(ctx context.Context) error
	// lines reads a query's rows as text.
	lines(ctx context.Context, query string) ([]string, error)
	close(ctx context.Context) error
}

// shop writes to the inventory database as a small shop would. It is not safe for
// concurrent use.
type shop struct {
	conn *pgx.Conn
	rnd  *rand.Rand
	next int // serial number for what must be unique
	txs  int
}

// openShop connects to the database and fills it with the tutorial's rows.
func openShop(ctx context.Context, url string) (*shop, error) {
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return nil, err
	}
	if _, err := c.PgConn().Exec(ctx, shopSQL).ReadAll(); err != nil {
		return nil, fmt.Errorf("making the inventory tables: %w", err)
	}
	if _, err := c.Exec(ctx, "set search_path = inventory"); err != nil {
		return nil, err
	}
	return &shop{conn: c, rnd: rand.New(rand.NewPCG(1, 2))}, nil
}

func (s *shop) close(ctx context.Context) error { return s.conn.Close(ctx) }

// rows counts the rows of all tables.
func (s *shop) rows(ctx context.Context) (n int64, err error) {
	err = s.conn.QueryRow(ctx, "select (select count(*) from customers) + (select count(*) from products) + (select count(*) from orders)").Scan(&n)
	return n, err
}

// firstChanges are one change of each kind.
var firstChanges = []string{
	"insert into customers (first_name, last_name, email) values ('Ada', 'Lovelace', 'ada@analytical.engine')",
	"update customers set email = 'ada.lovelace@analytical.engine' where email = 'ada@analytical.engine'",
	"delete from orders where id = 10003",
}

// first makes one change of each kind, to be shown: an insert, an update and a delete.
func (s *shop) first(ctx context.Context) error {
	for _, q := range firstChanges {
		if _, err := s.conn.Exec(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

// sell makes one transaction: mostly an order, sometimes a new customer, a
// shipment, a change of price or a cancellation.
func (s *shop) sell(ctx context.Context) error {
	s.next++
	s.txs++
	return pgx.BeginFunc(ctx, s.conn, func(tx pgx.Tx) error {
		var err error
		switch n := s.rnd.IntN(100); {
		case n < 55:
			_, err = tx.Exec(ctx, `insert into orders (order_date, purchaser, product_id, quantity, total)
				select current_date, c.id, p.id, $1::int, p.price * $1::int
				from (select id from customers order by id offset $2::bigint % (select count(*) from customers) limit 1) c,
				     (select id, price from products order by id offset $3::bigint % (select count(*) from products) limit 1) p`,
				1+s.rnd.IntN(5), s.rnd.IntN(1<<20), s.rnd.IntN(1<<20))
		case n < 80:
			_, err = tx.Exec(ctx, `update orders set status = 'shipped' where id in (select id from orders where status = 'new' order by id limit 2)`)
		case n < 88:
			_, err = tx.Exec(ctx, `update products set price = round(price * (0.97 + random() * 0.06)::numeric, 2) where id = 101 + $1::int`, s.rnd.IntN(8))
		case n < 94:
			f, l := firstNames[s.rnd.IntN(len(firstNames))], lastNames[s.rnd.IntN(len(lastNames))]
			_, err = tx.Exec(ctx, `insert into customers (first_name, last_name, email) values ($1, $2, $3)`, f, l, fmt.Sprintf("%s.%s.%d@example.com", f, l, s.next))
		default:
			_, err = tx.Exec(ctx, `delete from orders where id in (select id from orders where status = 'new' order by id desc limit 1)`)
		}
		return err
	})
}

// reconnect waits for a database that went away: whoever stops it to see what happens
// finds the shop open again afterwards. An error that has another cause stays one.
func (s *shop) reconnect(ctx context.Context) error {
	if !s.conn.IsClosed() {
		return errors.New("the connection is well")
	}
	for {
		c, err := pgx.ConnectConfig(ctx, s.conn.Config())
		if err == nil {
			if _, err = c.Exec(ctx, "set search_path = inventory"); err == nil {
				s.conn = c
				return nil
			}
			_ = c.Close(ctx)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// sellAll sells at a steady rate of transactions per second until ctx ends.
func sellAll(ctx context.Context, s database, rate int) error {
	began := time.Now()
	for i := 1; ; i++ {
		next := began.Add(time.Duration(i) * time.Second / time.Duration(rate))
		if d := time.Until(next); d > 0 {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(d):
			}
		} else if ctx.Err() != nil {
			return nil
		} else if d < -time.Second {
			began, i = time.Now(), 0 // the machine cannot keep the rate; do not chase it
		}
		// A transaction that was begun is finished, so that the connection stays good.
		if err := s.sell(context.WithoutCancel(ctx)); err != nil {
			if r, ok := s.(interface {
				reconnect(ctx context.Context) error
			}); ok && r.reconnect(ctx) == nil {
				began, i = time.Now(), 0
				continue
			}
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("writing to the shop: %w", err)
		}
	}
}
