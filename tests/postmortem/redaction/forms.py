"""Secrets in the forms in which crashed processes hold them, and what only looks like them."""

from __future__ import annotations

# Put together here, so that no scanner takes this file for a leak. Each is unlike the others, to be found by itself.
PW = "Tr0ub4dor&3x"
PLAIN = "swordfish"
HEX = "9f86d081884c7d659a2feaa0c55ad015"
B64 = "wJalrXUtnFEMIK7MDENGbPxRfiCYzzzEXAMPLEKEY"

TEXTS = (
    ("login failed for bob: password=" + PW, PW),
    ("Authorization: Basic Ym9i", "Ym9i"),
    ("authorization: bearer abc", "abc"),
    ("GET /v1 HTTP/1.1\r\nHost: a\r\nAuthorization: Token q1w2\r\nAccept: */*", "q1w2"),
    ("Cookie: sid=k3jh4; theme=dark", "k3jh4"),
    ('{"Set-Cookie": "JSESSIONID=0A1B2C3D; Path=/"}', "0A1B2C3D"),
    ("X-Api-Key: " + HEX, HEX),
    ("X-Amz-Security-Token: " + B64, B64),
    ("curl -H 'PRIVATE-TOKEN: abcd1234' https://h", "abcd1234"),
    ('{"password":"hun ter2","user":"bob"}', "hun ter2"),
    ('{"password": "cut in the mid', "cut in the mid"),
    ('\\"api_key\\":\\"k-123-x\\",', "k-123-x"),
    ("{'secret': 'it\\'s mine', 'n': 1}", "s mine"),
    ("api_key: " + HEX, HEX),
    ("api key = " + HEX, HEX),
    ("access token: zz91kq", "zz91kq"),
    ("Config{user='x', dbPassword='" + PLAIN + "'}", PLAIN),
    ("Creds(login=bob, pwd=" + PW + ")", PW),
    ("Server=db;Uid=sa;Pwd=" + PW + ";Database=x", PW),
    ("DefaultEndpointsProtocol=https;AccountName=x;AccountKey=" + B64 + "==;", B64),
    ("Endpoint=sb://x/;SharedAccessKeyName=Root;SharedAccessKey=" + B64 + "=", B64),
    ("https://h/p?token=" + HEX + "&x=1", HEX),
    ("https://h/p?X-Amz-Signature=" + HEX + "&X-Amz-Credential=AKIAX%2F2", HEX),
    ("https://x.blob.core.windows.net/c?sv=2020&sig=ab%2Bcd%3D&se=2", "ab%2Bcd%3D"),
    ("https://h/cb?code=4%2F0AX4XfW&state=z", "4%2F0AX4XfW"),
    ("https://h/;jsessionid=0A1B2C3D4E", "0A1B2C3D4E"),
    ("postgres://app:p/w%40d#1@db:5432/x", "p/w%40d"),
    ("redis://:" + PLAIN + "@cache:6379/0", PLAIN),
    ("amqp://u:a@b@mq//", "a@b"),
    ("https://" + HEX + "@o1.ingest.example.io/5", HEX),
    ("jdbc:oracle:thin:scott/" + PLAIN + "@db:1521:x", PLAIN),
    ("jdbc:mysql://h/db?user=u&password=" + PLAIN, PLAIN),
    ("jdbc:sqlserver://h;user=sa;password={" + PW + "};", PW),
    ("connect root:" + PW + "@10.0.0.1:22", PW),
    ("https://hooks.slack.com/services/T00/B00/XXXXyyyyZZZZ", "XXXXyyyyZZZZ"),
    ("https://discord.com/api/webhooks/123456/abcDEFghiJKLmnoPQR", "abcDEFghiJKLmnoPQR"),
    ("https://api.telegram.org/bot123456789:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw/getMe", "AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"),
    ("-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7\nabcdefg", "abcdefg"),
    ("-----BEGIN OPENSSH " + "PRIVATE KEY-----\\nb3BlbnNz\\n-----END OPENSSH PRIVATE KEY-----", "b3BlbnNz"),
    ("key AKIA" + "IOSFODNN7EXAMPLE used", "IOSFODNN7EXAMPLE"),
    ("eyJ" + "hbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "eyJzdWIiOiIxIn0"),
    ("cut eyJ" + "hbGciOiJIUzI1NiIsInR5", "hbGciOiJIUzI1NiIsInR5"),
    ("root:$6$saltsalt$" + "IxDD3jeSOb5eB1CX5LBsqZFVkJdido3OUILO5Ifz5iwMuTS4XMS130MTSuDDl3aCI6WouIL9AjRbLCelDCy.g.:1", "IxDD3jeSOb5eB1CX"),
    ("hash $2b$12$" + "R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW", "R9h/cIPz0gi"),
    ("the password is " + PW, PW),
    ("Access denied for user 'bob' with password '" + PLAIN + "'", PLAIN),
    ("wrong passphrase \"correct-horse\" for key", "correct-horse"),
    ("ALTER USER bob IDENTIFIED BY '" + PLAIN + "'", PLAIN),
    ("machine h login bob password " + PLAIN, PLAIN),
    ("db.example.com:5432:shop:bob:" + PLAIN, PLAIN),
    ("dbhost:5432:shop:bob:" + PLAIN, PLAIN),
    ('"Authorization: Digest username=\\"bob\\", response=\\"78220ad2cf1337349e455d52613c2813\\""', "78220ad2cf1337349e455d52613c2813"),
    ("<password>" + PLAIN + "</password>", PLAIN),
    ("<add key='x' connectionString='Data Source=h;Password=" + PLAIN + "'/>", PLAIN),
    ("password%3D" + PLAIN + "%26x", PLAIN),
    (":api_key=>\"" + HEX + "\"", HEX),
    ("passphrase: correct horse battery staple", "battery staple"),
    ("run mysql -uroot -p" + PW + " shop", PW),
    ("run tool --api-token " + PLAIN + " --port 80", PLAIN),
    ("run tool -u bob:" + PW + " x", PW),
    ("client_secret = " + PLAIN, PLAIN),
    ("tokens: [" + '"aaa111bbb", "ccc222ddd"]', "ccc222ddd"),
    ("OTP=493021", "493021"),
    ("Login: admin / Password: Winter2024!","Winter2024!"),("secret key: 9a8b7c6d5e4f","9a8b7c6d5e4f"),("AWS_SESSION_TOKEN=IQoJb3JpZ2luX2VjEXAMPLE//////////wEaCXVz","IQoJb3"),
    ("smtp://mailer:m4il3r@smtp.example.com:587","m4il3r"),("mongodb+srv://svc:p4ss@cluster0.mongodb.net/?retryWrites=true","p4ss"),("oauth_token=abc123&oauth_token_secret=def456","def456"),
    ("License key: ABCD-EFGH-1234-5678","EFGH-1234"),("PIN: 4711","4711"),("basic_auth: bob:plainword","plainword"),('<property name="password" value="zeppelin"/>',"zeppelin"),
    ('{"name":"DB_PASSWORD","value":"zeppelin"}',"zeppelin"),("AuthToken(value=abc123de)","abc123de"),("INSERT INTO users(name,password) VALUES('bob','zeppelin')","zeppelin"),
    ("UPDATE u SET password = MD5('zeppelin')","zeppelin"),("%22password%22%3A%22zeppelin%22","zeppelin"),("$_ENV['DB_PASS'] = 'zeppelin'","zeppelin"),
    ("token (hunter2abc) rejected","hunter2abc"),("PWD=zeppelin;Server=x","zeppelin"),("AUTH PLAIN AGJvYgBodW50ZXIy","AGJvYg"),("> PASS zeppelin","zeppelin"),
    ("psk=zeppelin","zeppelin"),("mysql://root:wurstsal","wurstsal"),('heap, 0x1 into 0x2 bytes, "mysql://root:wurstsal"',"wurstsal"),("sshpass -p zeppelin ssh h","zeppelin"),
    ("redis-cli -h x -a zeppelin","zeppelin"),("ldapsearch -D cn=x -w zeppelin","zeppelin"),("user=bob&pass=zeppelin&x=1","zeppelin"),("authorization: [Bearer abc]","abc]"),
    ("Password for bob: hunter2","hunter2"),("otpauth://totp/x?secret=JBSWY3DPEHPK3PXP&issuer=y","JBSWY3"),("rpcpassword=zeppelin","zeppelin"),("PrivateKey = aGVsbG8gd29ybGQgaGVsbG8gd29ybGQgaGVsbG8gdzE=","aGVsbG8"),
    ('sasl.jaas.config=org.apache.kafka.PlainLoginModule required username="u" password="zeppelin";',"zeppelin"),("fs.s3a.secret.key=zeppelin","zeppelin"),("x: {accessToken: zeppelin12}","zeppelin12"),
    ("https://h/?access_token=zeppelin","zeppelin"),("https://h/a?api_key=zeppelin","zeppelin"),("Failed to login with token 'abc-def-ghi-123'","abc-def"),("java.io.IOException: 401 for https://bob:zeppelin@repo/x","zeppelin"),
    ("sftp> open bob:zeppelin@host","zeppelin"),("ENCRYPTION_KEY: zeppelin99","zeppelin99"),("webhook_secret = zeppelin","zeppelin"),("signing-secret: zeppelinzeppelin","zeppelinzepp"),("db.pwd: zeppelin","zeppelin"),
    ("conn = psycopg2.connect(host='h', user='u', password='zeppelin')","zeppelin"),("private static final String API_SECRET = \"zeppelin\";","zeppelin"),("--data '{\"secret\":\"zeppelin\"}'","zeppelin"),
    ("bearerToken=zeppelin","zeppelin"),("x-goog-api-key: zeppelin","zeppelin"),("Api-Token zeppelin77","zeppelin77"),("TWILIO_AUTH_TOKEN zeppelin77x","zeppelin77x"),("sessionid=zeppelin77","zeppelin77"),
    ("uid=5;sid=a8f7d6e5c4b3","a8f7d6"),("passcode 493021","493021"),("your OTP is 493021","493021"),("verification code: 493021","493021"),
    # As debuggers write strings: the letter of an escape stands before the name.
    ('"POST /x HTTP/1.1\\r\\nX-Auth-Token: ' + HEX + '\\r\\nC"...', HEX), ('{"a", "PASS ' + PLAIN + '\\r\\n"}', PLAIN),
    ('{"a", "AUTH ' + HEX + '\\r\\n"}', HEX), ('"USER bob\\r\\nPASS ' + PLAIN + '\\r\\n"', PLAIN), ('"a\\nsecret=' + PLAIN + '"', PLAIN),
    ('"a\\tpwd=' + PLAIN + '"', PLAIN), ('"a\\nghp_' + "A1b2C3d4E5fA1b2C3d4E5fA1b2C3d4E5f1234" + '"', "A1b2C3d4E5f"), ('"a\\nAKIA' + 'IOSFODNN7EXAMPLE"', "IOSFODNN7EXAMPLE"),
    ('"a\\nBearer abcdef123456"', "abcdef123456"), ('"x\\npassword is Hunter2a"', "Hunter2a"), ("HKLM\\\\token=zeppelin12", "zeppelin12"),
    ('"*2\\r\\n$4\\r\\nAUTH\\r\\n$9\\r\\n' + PLAIN + '\\r\\n"', PLAIN), ("*3\r\n$4\r\nAUTH\r\n$3\r\nbob\r\n$9\r\n" + PLAIN + "\r\n", PLAIN),
    ("user:" + PLAIN + "@tcp(127.0.0.1:3306)/app", PLAIN), ("root:" + PLAIN + "@/app?parseTime=true", PLAIN), ("root:" + PLAIN + "@unix(/run/db.sock)/a", PLAIN),
    ('{host = 0x5555b4d46086 "db1", password = 0x5555b4d46090 "' + PLAIN + '", port = 1}', PLAIN),
    ('{host = 0x5555b4d46086 "db1", api_key = 0x5555b4d46090 <buffer+16> "' + PLAIN + '"...}', PLAIN),
    ('{<std::__pair_base<int, int>> = {...}, first = "password", second = "' + PLAIN + '"}', PLAIN),
    ('{first = 0x402010 "api-key", second = 0x402020 "' + PLAIN + '"}', PLAIN),
    ("credentials: bob / " + PLAIN, PLAIN), ("key pair AKIA" + "IOSFODNN7EXAMPL3 / " + B64[:40], B64[:40]),
    ("--rootpw=" + PLAIN, PLAIN), ("ldap.bindpwd=" + PLAIN, PLAIN),
    # Members of structures whose characters stand in a wrapper.
    ('{user: "bob", token: Some("' + HEX + '"), n: 3}', HEX), ('{secret: Ok("' + PLAIN + '"), n: 3}', PLAIN), ('token: Some(Ok("' + HEX + '"))', HEX),
    ('{id = 1, token = {[contained value] = "' + HEX + '"}, x = 3}', HEX), ('{password = std::optional = {[contained value] = "' + PLAIN + '"}}', PLAIN),
    ('{password = std::optional<std::string> = {[contained value] = "' + PLAIN + '"}}', PLAIN), ('{secret = std::unique_ptr<char> = {get() = 0x5581 "' + PLAIN + '"}}', PLAIN),
    ('{secret = std::shared_ptr<std::string> (use count 1, weak count 0) = {get() = 0x5581 "' + PLAIN + '"}}', PLAIN), ("token: Secret { inner: \"" + HEX + '" }', HEX),
    ('{password = {len = 9, ptr = 0x55 "' + PLAIN + '"}}', PLAIN), ('{password: {String: "' + PLAIN + '", Valid: true}}', PLAIN), ('{passwords = {"a", 0x55 "' + PLAIN + '"}, n = 1}', PLAIN),
    ('{password = (const char *) 0x5581 "' + PLAIN + '"}', PLAIN),
    ('{password = std::__cxx11::basic_string = "' + PLAIN + '", n = 1}', PLAIN),
    # Arrays and tables.
    ('{0x55 "prog", 0x56 "--secret", 0x57 "' + PLAIN + '"}', PLAIN), ('{{0x55 "user", 0x55 "bob"}, {0x55 "password", 0x55 "' + PLAIN + '"}, {0x55 "host", 0x55 "db1"}}', PLAIN),
    ('{{"password\\000\\000", "' + PLAIN + '\\000"}, {"user", "bob"}}', PLAIN), ('{{0x55 "password", 0x55 "' + PLAIN + '"}}', PLAIN),
    ('("password", "' + PLAIN + '")', PLAIN), ('"password","kil0pound"', "kil0pound"),
    # Pairs of members.
    ('{k = "password", v = "' + PLAIN + '"}', PLAIN), ('{k = 0x1 "api_key", v = 0x2 "' + PLAIN + '"}', PLAIN), ('{n: "secret", v: "' + PLAIN + '"}', PLAIN),
    ('{"k":"password","v":"' + PLAIN + '"}', PLAIN), ('{key = "password", val = "' + PLAIN + '"}', PLAIN),
    # Other names.
    ("passwrd=" + PLAIN, PLAIN), ('pswd = "' + PLAIN + '"', PLAIN), ('pass_phrase: "' + PLAIN + '"', PLAIN), ('{pass_word = 0x1 "' + PLAIN + '"}', PLAIN),
    ("{cvv = 123, n = 1}", "123"), ('{ssn = "123-45-6789"}', "123-45"), ("{unlock_code = 4711}", "4711"), ('privKey = "' + PLAIN + '"', PLAIN),
    ("{pin = 4711, n = 1}", "4711"), ('{"pin": 570957}', "570957"),
    # Forms, tables and settings.
    ('form-data; name="password"\r\n\r\n' + PLAIN + "\r\n--x", PLAIN), ('"form-data; name=\\"password\\"\\r\\n\\r\\n' + PLAIN + '\\r\\n"', PLAIN),
    ("requirepass " + PLAIN, PLAIN), ("enable secret 5 " + PLAIN, PLAIN), ("basic_auth(bob, " + PLAIN + ")", PLAIN), ("password: 'it''s " + PLAIN + "'", PLAIN),
    ('{"mysql", "-p", "kil0pound"}', "kil0pound"), ("['--password', '" + PLAIN + "']", PLAIN), ('exec ["sshpass","-p","' + PLAIN + '","ssh"]', PLAIN),
    ("Command '['mysql', '-uroot', '-p" + PLAIN + "']' returned 1", PLAIN), ('{"app", "[\\"mysql\\",\\"-p' + PLAIN + '\\"]"}', PLAIN), ('{"pw":"' + PLAIN + '"}', PLAIN), ('{"bindpw":"' + PLAIN + '"}', PLAIN),
    ('{n = 1, login = "bob:' + PW + '"}', PW), ('{password = std::optional<std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> > > = {[contained value] = "' + PLAIN + '"}}', PLAIN),
    ('assert(strcmp(pw,"' + PLAIN + '")==0) failed', PLAIN), ('a = {in = {login = "bob:' + PW + '"}}', PW), ("app Bearer aB3dE6gH9jK2 -x", "aB3dE6gH9jK2"),
    # Addresses that are cut, or that have a key in place of a user.
    ('0x55 "postgres://bob:CutArr7Xq2"...', "CutArr7Xq2"), ('{0x1 "postgres://bob:swordf"..., 0x2 "a@b"}', "swordf"), ("postgres://bob:" + PLAIN + "@", PLAIN),
    ('{"postgres://bob:' + PLAIN + '@", "x"}', PLAIN), ('"redis://:CutPw7"...', "CutPw7"), ("https://4f2e91c07b3d@sentry.io/1", "4f2e91c07b3d"),
    ("2026-01-02 dsn=https://aB3dE6gH9jK2@sentry.io/1 ready", "aB3dE6gH9jK2"), ("https://" + HEX + ":@api.example.com/v1", HEX),
)  # fmt: skip
"""(running text, the secret in it)."""

ARGUMENTS = (
    (("app", "-u", "bob:" + PW), PW),
    (("app", "-ubob:" + PW), PW),
    (("app", "-p" + "SECRET"), "SECRET"),
    (("app", "-pS3cr3t!"), "S3cr3t!"),
    (("app", "-p", PW), PW),
    (("app", "--key", PLAIN), PLAIN),
    (("app", "--auth", PLAIN), PLAIN),
    (("app", "--auth=" + PW), PW),
    (("app", "--password", PLAIN), PLAIN),
    (("app", "--password=" + "two words"), "two words"),
    (("app", "--header", "Authorization: Bearer abc"), "abc"),
    (("app", "--header=X-Api-Key: " + HEX), HEX),
    (("app", "-H", "Cookie: a=" + PLAIN), PLAIN),
    (("app", "--cookie", "sid=" + PLAIN), PLAIN),
    (("app", "--user", "bob:" + PLAIN), PLAIN),
    (("app", "-Dtrust.password=" + PLAIN), PLAIN),
    (("app", "-Dspring.datasource.url=jdbc:x://h?password=" + PLAIN), PLAIN),
    (("app", "-storepass", PLAIN), PLAIN),
    (("app", "-passin", "pass:" + PLAIN), PLAIN),
    (("app", "-e", "DB_PASS=" + PLAIN), PLAIN),
    (("app", "--set", "db.password=" + PLAIN), PLAIN),
    (("app", "/p:" + PLAIN), PLAIN),
    (("app", "password=" + PLAIN), PLAIN),
    (("app", "https://u:" + PLAIN + "@h/"), PLAIN),
    (("app", '{"token": "' + PLAIN + '"}'), PLAIN),
    (("app", "-Xmx1g", "--client-secret", PLAIN), PLAIN),
    (("java", "-javaagent:a.jar=key=" + HEX), HEX),
    (("app", "--rootpw", PLAIN), PLAIN),
)
"""(arguments, the secret among them)."""

OF_PROGRAMS = tuple(
    (line % "k7Qx2mPw9vT4", "k7Qx2mPw9vT4")
    for line in (
        "mysql -uroot -p%s shop", "mysqladmin -u root password %s", "mongosh -u root -p %s", "redis-cli -h r1 -a %s ping",
        "redis-cli AUTH %s", "redis-cli AUTH default %s", "sqlcmd -S srv -Usa -P%s", "bcp t out f -U sa -P %s", "isql DSN user %s",
        "sqlplus scott/%s@orcl", "expdp system/%s@db full=y", "beeline -u x -p %s", "cqlsh -u cassandra -p %s h",
        "influx write -t %s -b bk", "ldapsearch -x -D cn=admin -w %s", "ldapsearch -x -D cn=admin -w%s", "ldappasswd -x -s %s uid=bob",
        "swaks -au b -ap %s", "sendemail -xu b -xp %s", "sendxmpp -u b -p %s -j h", "rabbitmqadmin -u g -p %s list",
        "rabbitmqctl add_user bob %s", "mosquitto_pub -u b -P %s -t x", "sshpass -p%s ssh h", "ssh-keygen -t ed25519 -N %s -f k",
        "curl -u alice:%s https://x", "curl --user=alice:%s https://x", "curl -E client.pem:%s https://x", "curl --cert c.p12:%s https://x",
        "curl '-HPRIVATE-TOKEN: %s' https://x", "http -a bob:%s GET x", "http -A bearer -a %s x", "lftp -u bob,%s sftp://h",
        "ncftpput -u bob -p %s h", "hydra -l b -p %s h ssh", "smbclient //srv/share %s -U bob", "smbclient //srv/share -U dom/bob%%%s",
        "rpcclient -U admin%%%s srv", "snmpwalk -v2c -c %s host", "snmpget -v3 -u u -A %s -a SHA h", "ipmitool -H b -U A -P %s x",
        "ttyd -c bob:%s bash", "ncat --proxy-auth bob:%s h 1", "swift -A http://x -U a:b -K %s list", "zip -P %s a.zip f",
        "7z x -p%s a.7z", "rar a -hp%s a.rar f", "veracrypt -t -p %s /vol", "useradd -p %s bob", "htpasswd -b f bob %s",
        "wpa_passphrase ssid %s", "iwconfig wlan0 key %s", "nmcli dev wifi connect ssid password %s", "pppd user bob password %s",
        "wg set wg0 preshared-key %s", "virsh secret-set-value uuid %s", "erl -sname a -setcookie %s", "geth --nodekeyhex %s",
        "openssl enc -aes-256-cbc -k %s -in f", "openssl dgst -sha256 -hmac %s f", "openssl dgst -mac HMAC -macopt hexkey:%s f",
        "openssl passwd -6 %s", "signtool sign /f c.pfx /p %s x", "aws ssm put-parameter --type SecureString --value %s",
        "aws configure set aws_secret_access_key %s", "mc alias set m http://m:9000 AKID %s", "vault login %s", "bw unlock %s",
        "ngrok authtoken %s", "snyk auth %s", "rclone obscure %s", "grafana-cli admin reset-admin-password %s", "doctl auth init -t %s",
        "cvs -d :pserver:bob:%s@h:/r co m", "secretsdump.py dom/bob:%s@10.0.0.1", "wmiexec.py -hashes %s dom/b@h",
        "qemu-system-x86_64 -object secret,id=s0,data=%s",
    )
)  # fmt: skip
"""(a command line of a program that takes a secret in its own way, the secret)."""

ORDINARY_ARGUMENTS = (
    *(tuple(line.split())
    for line in (
        "mysql -p shop", "mysql -u root -P 3307 -p", "mysqladmin status", "mongosh --port 27017", "redis-cli -p 6380 -n 2 AUTH",
        "sqlplus -s / as sysdba", "sqlplus /nolog", "isql DSN user", "ldapsearch -x -b dc=x -s sub", "ldapwhoami -x -W", "bcp t out f",
        "mosquitto_sub -p 1883", "ssh-keygen -t rsa -b 4096 -f key", "curl -E client.pem https://x", "curl --cert /etc/c.pem https://x",
        "curl -u bob https://x", "http GET x -a", "lftp -u bob sftp://h", "smbclient -L //srv -U bob", "snmpwalk -v2c -Of host sysName",
        "7z x a.7z", "zip -r a.zip b", "unzip -p a.zip x/y.txt", "useradd -k /etc/skel -u 1001 bob", "htpasswd -c f bob x",
        "iwconfig wlan0 key off", "openssl passwd -6", "openssl x509 -in cert.pem -key k.pem", "aws s3 cp a --value b", "mc alias list",
        "vault login -method=userpass", "bw unlock --check", "grafana server", "docker run --name mysql -p 8080:80 redis",
        "kubectl get secret db-creds-2", "grep password passwords2.txt", "app token refresh", "git config set user.name Bob",
        "python3 train.py --tokenizer bert-base --pad-token [PAD]", "make -k PASS=1", "java -Dtoken.separator=, -jar a.jar",
        "swift build -c release", "cargo login --help", "app --login bob", "app --user 1000:1000", "signtool verify /pa x",
        "rabbitmqctl add_user bob", "veracrypt -t /vol", "qemu-system-x86_64 -object secret,id=s0,file=/run/s",
    )),
    ("sh", "-c", "echo hello | sudo tee /etc/x"), ("sh", "-c", "echo $PW | sudo -S id"), ("bash", "-c", "echo yes | docker login"),
    ("ssh-keygen", "-N", "", "-f", "k"), ("python3", "-c", 'print("a b")'),
)  # fmt: skip
"""Command lines without a secret, among them those of the programs above."""

SOURCE = (
    ('const char *p = "Zk81xxQ7vT"; // password', "Zk81xxQ7vT"), ('login("bob", "swordfish");', PLAIN), ('auth.setToken("swordfish");', PLAIN),
    ("curl_easy_setopt(c, CURLOPT_PASSWORD, \"swordfish\");", PLAIN), ('mysql_real_connect(m, "h", "root", "swordfish", "db", 0, 0, 0);', PLAIN),
    ('std::string tok{"Zk81xxQ7vT"};', "Zk81xxQ7vT"), ('if (strcmp(pw, "swordfish") == 0) return 1;', PLAIN), ('char passphrase[] = {"swordfish"};', PLAIN),
    ('setenv("DB_PASSWORD", "swordfish", 1);', PLAIN), ('std::string password("Zk81xxQ7vT");', "Zk81xxQ7vT"), ('#define API_KEY "Zk81xxQ7vT"', "Zk81xxQ7vT"),
    ('map.put("password", "swordfish");', PLAIN),
)  # fmt: skip
"""(a line of source, the secret in it)."""

ORDINARY_SOURCE = (
    'login("bob");', 'if (strcmp(token, "while") == 0) {', 'if (strcmp(name, "bob") == 0) {', 'check(password, "must not be empty");',
    'expect(Token, "while");', 'Token{"while"}', "setToken(Token::While);", 'std::map<std::string, int> m{"a", 1};', 'auth("basic", "digest");',
    'authenticate("GET", "/index.html");', 'credentials("user", "password");', 'dialog("Login", "Cancel");', 'blog("first", "second");',
    'catalog("books", "magazines");', 'const char *name = "swordfish"; // the fish', "for (int pass = 0; pass < 2; pass++) {",
    'parse_token("x1");', "connect(fd, host, 80);",
)  # fmt: skip

CUTS = (
    ("ghp_ibonqlD", "ibonqlD"), ("sk_live_5VY5WJA", "5VY5WJA"), ("AKIAJ5UPQC5", "J5UPQC5"), ("Bearer nHO6mDh", "nHO6mDh"), ("&sig=ctPrkkS", "ctPrkkS"),
    ("IDENTIFIED BY 'A6Ujvgz", "A6Ujvgz"), ("redis://:xJYcTBT", "xJYcTBT"), ("https://MVGZKkf447q3EJ", "MVGZKkf447q3EJ"), ("root:ieX9rWm8uV9Pv9", "ieX9rWm8uV9Pv9"),
    ("7123456789:AAzyrxeUf", "zyrxeUf"),
)  # fmt: skip
"""(what stands at the end of a text that is cut, the beginning of a secret in it)."""

ORDINARY_CUTS = (
    "sk-worker", "bearer of", "&sig", "identified by", "https://example", "http://localhost:80", "root:directory", "std::string", "at 0x7ffd12345678",
    "line:12345678", "sha256:abcdef", "glib-network", "tskey",
)  # fmt: skip

ENTRIES = (
    ("ETCDCTL_USER", "root:" + PLAIN), ("JENKINS_API", "bob:fcb1f5bb7147e1cfdfef3b52372c85cd"), ("DEVISE_PEPPER", HEX), ("SNMP_COMMUNITY", PLAIN),
    ("RECOVERY_CODE", PLAIN), ("ACTIVATION_CODE", PLAIN), ("FERNET", B64), ("LINODE", HEX), ("KUBECONFIG_DATA", B64), ("ORACLE_CONNECT", "scott/" + PLAIN + "@orcl"),
    ("LOGIN", "bob/" + PW), ("pass_db", PLAIN), ("VAULT_UNSEAL", B64),
    ("PGPASS", PLAIN), ("PGPASSWORD", PLAIN), ("COOKIE", "a=" + PLAIN), ("BASIC", "bob:" + PLAIN), ("PROXY_AUTH", PLAIN),
    ("SLACK_WEBHOOK_URL", "https://example.com/hook/" + PLAIN), ("DB_PASS_PROD", PLAIN), ("MYSQL_PWD", PLAIN),
    ("SMTP_PW", PLAIN), ("API_KEYS", PLAIN), ("AWS_SECRET_ACCESS_KEY", B64), ("GITHUB_PAT", PLAIN), ("OTP_SEED", HEX),
    ("SIGNING_KEY", PLAIN), ("RAILS_MASTER_KEY", HEX), ("APP_KEY", "base64:" + B64), ("SECRET_KEY_BASE", HEX),
    ("keyStorePassword", "two words"), ("LDAP_BIND_CREDENTIALS", PLAIN), ("NPM_TOKEN", PLAIN), ("_authToken", PLAIN),
    ("SENTRY_DSN", "https://" + HEX + "@o1.ingest.example.io/1"), ("DATABASE_URL", "postgres://u:" + PLAIN + "@h/d"),
    ("DOCKER_AUTH_CONFIG", '{"auths":{"r":{"auth":"Ym9iOmh1bnRlcjIh"}}}'), ("SESSION_TOKEN", PLAIN), ("REDISCLI_AUTH", PLAIN),
    ("STRIPE_KEY", "sk_test_" + "4eC39HqLyjWDarjtT1zdp7dc"), ("HTTP_COOKIE", PLAIN), ("KEYPASS", PLAIN), ("SAS_TOKEN", "sv=1&sig=" + PLAIN),
)  # fmt: skip
"""(name of a variable or property, its value)."""

ORDINARY = (
    "unexpected token: foo at line 3", "syntax error near unexpected token `;'", "SyntaxError: Unexpected token '<'",
    "Access denied for user 'root'@'localhost' (using password: YES)", "password: must not be empty",
    "com.example.Token.parse(Token.java:45)", "com.example.PasswordEncoder: encoding", "at app.Secret.run(Secret.java:12)",
    "std::map<Key, Value>::at: key not found", "Token::parse (12 bytes)", "key: name, value: 3", "sort key=id",
    "session: closed", "author=bob", "monkey=1", "stack cookie 0x7ffd12345678", "  Array cookie:            ac", "cookie=0x7ffd12345678", "max_tokens=4096",
    "http://host:8080/a@b", "git@host:repo.git", "mailto:bob@example.com", "lib.so:foo@plt(x)", "C:\\new\\runtime=1", "cd oldpwd=here", 'first = "name", second = "bob"', 'key = 0x402010 "red", host = 0x402020 "db1"', "login page / settings", "credentials: user / password", "memcpy@GLIBC_2.14", "ssh://git@host/x",
    "https://host/path?page=2&sort=name", "signal 11 (SIGSEGV), code 1 (SEGV_MAPERR)", "Compiled method (c1) a.Token::next",
    "assertion failed: key != nullptr", "pthread_key_create", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "build-id 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b", "uuid 123e4567-e89b-12d3-a456-426614174000",
    "java.util.HashMap key=java.lang.String", "-XX:+UseStringDeduplication -XX:HeapDumpPath=/var/dumps -Xmx4g",
    "--color=auto -p 8080 -u 1000:1000", "mkdir -p some/dir", "gcc -pthread -pipe -O2", "docker run -p 80:80 -u www-data",
    "authentication failed", "Authorization: required", "token bucket is empty", "the secret of success is work",
    "Bearer of news", "basic block 12", "digest mismatch: expected sha256", "free(): invalid pointer",
    "terminate called after throwing an instance of 'auth::TokenError'", "what():  bad key", "keyboard=us", "passed=12 failed=0",
    "bypass: on", "pass=2", "compass: north", "/etc/ssl/private/key.pem", "password_file=/run/secrets/db", "10:20:30:40:50",
    '{key = "token", val = "while"}', "{pin = 13}", '"user","password","host"', '("password", "user")', '("user", "password")', "basic_auth(user, password)", "password='' user='x'",
    "{'password': '', 'user': 'bob'}", "password file /etc/app/passwd: permission denied", "/etc/app/secret: no such file", "token = (none)", "api_key=YOUR_API_KEY", "run sort --key name x",
    'token="identifier"', 'next_token="while"', "token_id=77", "secret_score=0.5", "exit code: 11", "unlock = 5", "mutex lock code 5", "ssn = 5", "cvc = 12345",
    "fn parse(key:&str, pass:u32)->i64 {", "fn login(password: &str, n: i32)", "login(password: String)", "tokenText:=token.Text; n:=1",
    '{"passwords":["[redacted]"]}', '"{\\"password\\":\\"[redacted]\\\\[redacted]\\"}"',
    "std::vector<Token> all = next(x)", 'password = "" = "x"', "token = next = \"while\"",
    '{"credentials": {"user": "bob"}}', "token = {kind = 2, text = \"return\"}", '{password = 0x0, secret = NULL, token = (char *) 0x0, n = 1}', "password=0x0", "const char *password = NULL",
    "secret = (nil)", '{0x55 "prog", 0x56 "--secret-file", 0x57 "list"}', '{{0x55 "user", 0x55 "password"}, {0x55 "host", 0x55 "port"}}', '0x1 "http://host:8080"...',
    '{url = 0x1 "http://h:80", b = "x:y"}', "http://[::1]:80/x", "ssh://deploy-user2@host/x", "https://firstlastname@host/x", "docker://nginx:latest",
    "user: bob, role: admin", "{priv = 0x7f3344556677, n = 2}", "community edition 2", "account: 4711/22", '"user", "login", "bob"', "missing --password-file option",
    '{"mysql", "-p", "shop"}', '["docker", "run", "-p", "8080:80"]', "['unzip', '-P']", '{0x55 "app", 0x55 "--no-password", 0x55 "--token-file", 0x55 "/run/t"}',
)  # fmt: skip
"""Running text without a secret."""

ORDINARY_ENTRIES = (
    ("JENKINS_USER", "bob"), ("API", "v2"), ("LOGIN", "bob"), ("ACCOUNT", "12345:6789"), ("CONNECT", "host/service"), ("SENTRY", "false"),
    ("GITHUB", "https://github.com"), ("GITLAB", "gitlab.example.com"), ("HEROKU", "staging-app-2"), ("DB_USER", "www-data:www-data"),
    ("GIT_USER", "alice:users"), ("NET_CONN", "tcp:8080"), ("PASS_DB", "/var/lib/x.db"), ("PEPPER", "red"), ("EXIT_CODE", "4711"),
    ("DESKTOP_SESSION", "gnome"), ("XDG_SESSION_ID", "3"), ("SESSION_MANAGER", "local/h:@/tmp/.ICE-unix/1"),
    ("SSH_AUTH_SOCK", "/run/user/0/ssh"), ("GPG_KEY_FILE", "/a"), ("PASSWORD_FILE", "/run/secrets/x"), ("KEYBOARD", "us"),
    ("PRIMARY_KEY", "id"), ("PWD", "/root"), ("XAUTHORITY", "/root/.Xauthority"), ("TOKENIZERS_PARALLELISM", "false"),
    ("java.security.egd", "file:/dev/urandom"), ("javax.net.ssl.trustStore", "/a/b.jks"), ("user.name", "bob"),
    ("PUBLIC_KEY", "abcdefgh12345678"), ("USE_AUTH", "true"), ("PIN_THREADS", "1"), ("TOKEN_ID", "77"), ("token", "identifier"), ("NEXT_TOKEN", "while"), ("API_KEY", "(none)"), ("sun.arch.data.model", "64"),
)  # fmt: skip

PIECES = (
    "a", ":", "=", "://", "a://b:", "@", "-p ", "password=", 'password="', "\\", "[", "(a) values ('", "token (", "<a", "&a=",
    "-----BEGIN PRIVATE KEY-----", "Authorization: ", "eyJ", "passphrase a ", "x-a-key", " -H a:", "name=a value=", "$6$",
    'token={"', "token = A {", "secret(A(", '{"password", ', 'token = {len=1,a() = "', "https://a1b2c3d4", "token=(a *) 0x1 ",
    'send "a', "connect a/", " password for a: ", "<key>a</key><string>", '"a" * "', "password 0 ", "a:a:", "*:*:*:", "\\n", '","', ";a", "#a",
)  # fmt: skip
"""What a searcher may take for the beginning of a secret again and again."""

THREADS = (
    ("tok:h8Jq2Lw9z", "h8Jq2Lw9z"), ("sk-h8Jq2Lw9zAb1", "h8Jq2Lw9z"), ("key h8Jq2Lw9z", "h8Jq2Lw9z"), ("ghp_A1b2C3d4E5f", "A1b2C3d4E5f"),
    ("AKIAIOSFODNN7EX", "IOSFODNN7EX"), ("eyJhbGciOiJIUzI", "hbGciOiJIUzI"), ("w/glpat-x9Yz8W7", "x9Yz8W7"), ("auth=Zx81kq", "Zx81kq"),
    ("bob:f2BteSJn8", "f2BteSJn8"), ("n3Xtch18@h", "n3Xtch18"), ("sftp-bob/eKluR1RI@h", "eKluR1RI"), ("login bob yNy4KVN5", "yNy4KVN5"),
    ("xoxb-2847-91ab", "2847-91ab"), ("pw:Tr0ub4dor", "Tr0ub4dor"), ("bearer 9aF3kQ7z", "9aF3kQ7z"), ("npm_q8W3e5R7t9Y", "q8W3e5R7t9Y"),
)  # fmt: skip
"""(a thread's name, the secret in it)."""

ORDINARY_THREADS = (
    "key-expirer-1", "auth-worker-12", "token-refresh-1", "sk-worker", "pool-1-thread-2", "Session-HouseKe", "GC Thread#0", "pin-worker 1",
    "api-1", "http-nio-8080", "key watcher", "pass 2", "C2 CompilerThre", "secret-rotator", "kworker/0:1", "sess:closer", "token bucket", "sig handler 3", "cache key: user:42", "bob:worker-1", "http/8080@h", "worker@host1", "login bob", "user bob 12",
)  # fmt: skip

# Where no name and sign of equality announces it: lines of files, protocols, prompts, calls, markup (redaction/lines.py).
GLUED = "q7Lw" + "#Zr3;tK"
DRAWN = "xqjv" + "zkwpfg"
LINES = (
    ("username admin privilege 15 password 0 " + PLAIN, PLAIN),
    ("snmp-server community " + DRAWN + " RW", DRAWN),
    ("crypto isakmp key " + PLAIN + " address 10.0.0.9", PLAIN),
    ("tacacs-server key " + PLAIN, PLAIN),
    ("enable password " + PLAIN, PLAIN),
    ("rootdn cn=admin\\nrootpw " + PLAIN, PLAIN),
    ("AuthLDAPBindPassword " + PLAIN, PLAIN),
    ("account work\nuser bob\npassword " + PLAIN + "\n", PLAIN),
    ("user app insecure-password " + PLAIN, PLAIN),
    ("stats auth admin:" + PLAIN, PLAIN),
    ('10.1.0.1 10.2.0.1 : PSK "' + PLAIN + '"', PLAIN),
    ('"bob" * "' + PLAIN + '" *', PLAIN),
    ("[mail.example.org]:587 bob:" + PLAIN, PLAIN),
    ("*:*:*:app:" + PLAIN, PLAIN),
    ("user app on >" + PLAIN + " ~* +@all", PLAIN),
    ("kind: Secret\ndata:\n  cert: " + B64, B64),
    ("- name: DB_PASSWORD\\n  value: " + PLAIN + "\\n", PLAIN),
    ("connect scott/" + PLAIN, PLAIN),
    ("system/" + PLAIN + "@//db:1521/x", PLAIN),
    ("SELECT pgp_sym_decrypt(data, '" + PLAIN + "')", PLAIN),
    ("PRAGMA key = '" + PLAIN + "'", PLAIN),
    ("CREATE USER bob IDENTIFIED BY " + PLAIN, PLAIN),
    ("CREATE LOGIN bob WITH PASSWORD = N'" + PLAIN + "'", PLAIN),
    ('db.auth("bob","' + PLAIN + '")', PLAIN),
    ("define('DB_PASSWORD', '" + PLAIN + "');", PLAIN),
    ('expected "' + PLAIN + '" == password', PLAIN),
    ("<key>Password</key><string>" + PLAIN + "</string>", PLAIN),
    ('<property name="connection.password">' + PLAIN + "</property>", PLAIN),
    ("<RSAKeyValue><D>" + B64 + "=</D></RSAKeyValue>", B64),
    ('{"kty":"oct","k":"' + B64 + '"}', B64),
    ("[sudo] password for bob: " + PLAIN, PLAIN),
    ("Enter passphrase for key '/root/.ssh/id': correct horse battery", "horse battery"),
    ("A temporary password is generated for root@localhost: " + GLUED, "Zr3;tK"),
    ("using password " + DRAWN + " for bob", DRAWN),
    ("authentication failed for bob:" + PW, PW),
    ("mot de passe : " + PLAIN, PLAIN),
    ("private key 0x" + HEX, HEX),
    ("CLIENT_RANDOM " + "0f" * 32 + " " + HEX, HEX),
    ("NTLM hash bob::" + HEX, HEX),
    ("xprv" + "9s21ZrQH143K" * 8, "9s21ZrQH143K"),
    ('a1 LOGIN "bob" "' + PLAIN + '"', PLAIN),
    ("PRIVMSG NickServ :IDENTIFY bob " + PLAIN, PLAIN),
    ('send "' + PW + '\\r"', PW),
    ("https://h.example/reset-password/" + B64, B64),
    ("GET /login?u=bob&p=" + PW, PW),
    ("MIIEvQIBADANBgkq" + B64 + "\n-----END PRIVATE KEY-----", B64),
    ("userPassword:: " + B64, B64),
    # A value that goes on behind a delimiter, other letters, other quotes.
    ("password=" + GLUED, "Zr3;tK"),
    ("Server=db;User Id=sa;Password=" + GLUED + ";Encrypt=true", "Zr3;tK"),
    ("{user=bob, password=" + GLUED + "}", "Zr3;tK"),
    ("GET /x?token=" + GLUED + " 403", "tK 403"),
    ("invalid token " + DRAWN, DRAWN),
    ("Authorization failed: Bearer " + DRAWN, DRAWN),
    ("{b'password': b'" + PLAIN + "'}", PLAIN),
    ('["password"]=> string(9) "' + PLAIN + '"', PLAIN),
    ('Config { user: \\"bob\\", password: Some(\\"' + PLAIN + '\\") }', PLAIN),
    ("[db]\\nuser = bob\\npassword = " + PLAIN + "\\nport = 3", PLAIN),
    ("level=info user=bob password=" + PLAIN + ' msg="login failed"', PLAIN),
    ('"url":"https:\\/\\/bob:' + PLAIN + '@h\\/x"', PLAIN),
    ("OTP code 493817 is invalid", "493817"),
)
LINES_THAT_STAY = (
    "password 5 characters too short",
    "password for bob: is required",
    "password for user bob: authentication failed",
    "the password is generated at the first start",
    "Secret 'db-creds' not found in namespace prod",
    "login page / settings",
    "login as bob",
    "connect to db/replica failed",
    "GET /search?q=a&p=2 200",
    "https://h.example/reset/step",
    "https://h.example/verify/index.html",
    "library/nginx@sha256:0123456789abcdef",
    "using password file /etc/shadow for bob",
    "key 3 of 7 is missing",
    "secret 2 of 3",
    "community edition",
    'send "QUIT\\r\\n"',
    "a == b && token != end",
    '"name" * "value"',
    "the token that was read is not the one expected: identifier",
    "auth failed for host:8443",
    "identified by the id of its thread",
    'level=info msg="login failed" user=bob',
    "define('TITLE', 'Password reset');",
    '<property name="password.policy">strict</property>',
    "the passphrase must have three words",
)
