name := "application"
version := "1.0.0"
scalaVersion := "2.13.16"
libraryDependencies += "org.typelevel" %% "cats-core" % "2.13.0"
