package demo

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"strings"

	driver "github.com/go-sql-driver/mysql"
)

// mysqlShopSQL makes the tutorial's tables on MySQL and MariaDB.
var mysqlShopSQL = []string{
	`create table customers (
  id int auto_increment primary key, first_name varchar(255) not null, last_name varchar(255) not null, email varchar(255) not null unique) auto_increment = 1001`,
	`create table products (
  id int auto_increment primary key, name varchar(255) not null, description varchar(512), weight double, price decimal(10,2) not null) auto_increment = 101`,
	`create table orders (
  id bigint auto_increment primary key, order_date date not null, purchaser int not null, product_id int not null,
  quantity int not null, total decimal(12,2) not null, status varchar(20) not null default 'new', placed_at timestamp(6) not null default current_timestamp(6),
  foreign key (purchaser) references customers(id), foreign key (product_id) references products(id)) auto_increment = 10001`,
	`insert into customers (first_name, last_name, email) values
  ('Sally', 'Thomas', 'sally.thomas@acme.com'), ('George', 'Bailey', 'gbailey@foobar.com'),
  ('Edward', 'Walker', 'ed@walker.com'), ('Anne', 'Kretchmar', 'annek@noanswer.org')`,
	`insert into products (name, description, weight, price) values
  ('scooter', 'Small 2-wheel scooter', 3.14, 89.90), ('car battery', '12V car battery', 8.1, 119.00),
  ('12-pack drill bits', '12-pack of drill bits with sizes ranging from #40 to #3', 0.8, 24.50), ('hammer', '12oz carpenter''s hammer', 0.75, 17.99),
  ('hammer', '14oz carpenter''s hammer', 0.875, 19.99), ('rocks', 'box of assorted rocks', 5.3, 4.25),
  ('jacket', 'water resistant black wind breaker', 0.1, 54.00), ('spare tire', '24 inch spare tire', 22.2, 99.00)`,
	`insert into orders (order_date, purchaser, product_id, quantity, total, status) values
  (current_date - interval 3 day, 1001, 102, 1, 119.00, 'shipped'), (current_date - interval 2 day, 1002, 105, 2, 39.98, 'new'), (current_date - interval 1 day, 1003, 107, 1, 54.00, 'new')`,
}

// mysqlShop is a shop on MySQL or MariaDB.
type mysqlShop struct {
	db   *sql.DB
	rnd  *rand.Rand
	next int
}

// openMySQL connects to a server; database may be "".
func openMySQL(u *url.URL, database string) (*sql.DB, error) {
	c := driver.NewConfig()
	c.Net, c.Addr, c.DBName, c.InterpolateParams, c.AllowNativePasswords = "tcp", net.JoinHostPort(u.Hostname(), orElse(u.Port(), "3306")), database, true, true
	c.User = u.User.Username()
	c.Passwd, _ = u.User.Password()
	k, err := driver.NewConnector(c)
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(k), nil
}

// openMySQLShop fills a database with the tutorial's rows.
func openMySQLShop(ctx context.Context, u *url.URL, database string) (*mysqlShop, error) {
	db, err := openMySQL(u, database)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	for _, q := range mysqlShopSQL {
		if _, err := db.ExecContext(ctx, q); err != nil {
			return nil, errors.Join(fmt.Errorf("making the inventory tables: %w", err), db.Close())
		}
	}
	return &mysqlShop{db: db, rnd: rand.New(rand.NewPCG(1, 2))}, nil
}

func (s *mysqlShop) close(context.Context) error { return s.db.Close() }

func (s *mysqlShop) rows(ctx context.Context) (n int64, err error) {
	err = s.db.QueryRowContext(ctx, "select (select count(*) from customers) + (select count(*) from products) + (select count(*) from orders)").Scan(&n)
	return n, err
}

func (s *mysqlShop) first(ctx context.Context) error {
	for _, q := range firstChanges {
		if _, err := s.db.ExecContext(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

// sell makes one transaction, of the kinds that the shop on PostgreSQL makes.
func (s *mysqlShop) sell(ctx context.Context) error {
	s.next++
	var err error
	switch n := s.rnd.IntN(100); {
	case n < 55:
		q := 1 + s.rnd.IntN(5)
		_, err = s.db.ExecContext(ctx, `insert into orders (order_date, purchaser, product_id, quantity, total)
			select current_date, c.id, p.id, ?, p.price * ? from (select id from customers order by rand() limit 1) c, (select id, price from products order by rand() limit 1) p`, q, q)
	case n < 80:
		_, err = s.db.ExecContext(ctx, `update orders set status = 'shipped' where status = 'new' order by id limit 2`)
	case n < 88:
		_, err = s.db.ExecContext(ctx, `update products set price = round(price * (0.97 + rand() * 0.06), 2) where id = 101 + ?`, s.rnd.IntN(8))
	case n < 94:
		f, l := firstNames[s.rnd.IntN(len(firstNames))], lastNames[s.rnd.IntN(len(lastNames))]
		_, err = s.db.ExecContext(ctx, `insert into customers (first_name, last_name, email) values (?, ?, ?)`, f, l, fmt.Sprintf("%s.%s.%d@example.com", f, l, s.next))
	default:
		_, err = s.db.ExecContext(ctx, `delete from orders where status = 'new' order by id desc limit 1`)
	}
	return err
}

// lines reads a query's rows as text.
func (s *mysqlShop) lines(ctx context.Context, query string) ([]string, error) {
	rows, err := s.db.QueryContext(ctx, query)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	cols, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	var out []string
	vals := make([]any, len(cols))
	for rows.Next() {
		for i := range vals {
			vals[i] = new(sql.NullString)
		}
		if err := rows.Scan(vals...); err != nil {
			return nil, err
		}
		var sb strings.Builder
		for _, v := range vals {
			sb.WriteString(v.(*sql.NullString).String + "|")
		}
		out = append(out, sb.String())
	}
	return out, rows.Err()
}

// mysqlEngine looks at a server and makes a database of the demo's own there.
func mysqlEngine(ctx context.Context, d *demo) (err error) {
	u, err := url.Parse(d.Options.MySQL)
	if err != nil {
		return err
	}
	admin, err := openMySQL(u, "")
	if err != nil {
		return err
	}
	defer func() { _ = admin.Close() }()
	var name, value string
	if err := admin.QueryRowContext(ctx, "show global variables like 'log_bin'").Scan(&name, &value); err != nil {
		return fmt.Errorf("connecting to %s: %w", u.Host, err)
	}
	if value != "ON" {
		return errors.New("the server keeps no binary log; set log_bin in its configuration and restart it")
	}
	if err := admin.QueryRowContext(ctx, "show global variables like 'binlog_format'").Scan(&name, &value); err == nil && value != "ROW" {
		return fmt.Errorf("the server's binlog_format is %s; set it with: SET GLOBAL binlog_format = ROW", value)
	}
	if _, err := admin.ExecContext(ctx, "create database "+d.Database); err != nil {
		return err
	}
	d.later(func() error {
		db, err := openMySQL(u, "")
		if err != nil {
			return err
		}
		_, err = db.ExecContext(context.Background(), "drop database "+d.Database)
		return errors.Join(err, db.Close())
	})
	if d.shop, err = openMySQLShop(ctx, u, d.Database); err != nil {
		return err
	}
	d.later(func() error { return d.shop.close(context.Background()) })
	d.db = u
	client := d.engine.client + " -h " + u.Hostname() + " -P " + orElse(u.Port(), "3306") + " -u " + u.User.Username()
	if _, has := u.User.Password(); has {
		client += " -p"
	}
	d.places.Change = client + " " + d.Database + " -e \"update customers set first_name='Bob' where id=1001\""
	return nil
}
