-- The inventory database of Debezium's tutorial, for docker-compose.yml.
create schema inventory;
set search_path = inventory;

create table customers (
  id serial primary key, first_name varchar(255) not null, last_name varchar(255) not null, email varchar(255) not null unique);
create table products (
  id serial primary key, name varchar(255) not null, description varchar(512), weight double precision);
create table orders (
  id serial primary key, order_date date not null, purchaser int not null references customers(id), quantity int not null,
  product_id int not null references products(id));

alter sequence customers_id_seq restart with 1001;
alter sequence products_id_seq restart with 101;
alter sequence orders_id_seq restart with 10001;
alter table customers replica identity full;
alter table orders replica identity full;

insert into customers (first_name, last_name, email) values
  ('Sally', 'Thomas', 'sally.thomas@acme.com'), ('George', 'Bailey', 'gbailey@foobar.com'),
  ('Edward', 'Walker', 'ed@walker.com'), ('Anne', 'Kretchmar', 'annek@noanswer.org');
insert into products (name, description, weight) values
  ('scooter', 'Small 2-wheel scooter', 3.14), ('car battery', '12V car battery', 8.1), ('hammer', '12oz carpenter''s hammer', 0.75);
insert into orders (order_date, purchaser, quantity, product_id) values (current_date, 1001, 1, 102), (current_date, 1002, 2, 103);
